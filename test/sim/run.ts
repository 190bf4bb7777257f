// `make sim`: runs many seeds on all cores and prints the totals, or replays one. SEEDS=n, SEED=x, MINUTES=m, FIRST=first seed, JOBS=n, STOP=1, COVER=0.
import { fork, type ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { addCoverage, renderCoverage, type LinesRun } from './coverage.ts'
import { renderTotals, type SeedReport } from './report.ts'
import { runSeed } from './seed.ts'

export type SimOptions = { readonly seeds: number; readonly first: number; readonly minutes: number | null; readonly jobs: number; readonly stopAtFailure: boolean; readonly covers: boolean }

/** What V8 keeps of one seed's worlds adds up: some 12 MB each. Then a fresh process goes on. */
const seedsPerProcessMax = 50
/** V8 counts lines at more than half of the price of running them: so the first of these seeds tell for all. */
const seedsCovered = 5

type Word = { readonly kind: 'ready' } | { readonly kind: 'report'; readonly report: SeedReport } | { readonly kind: 'coverage'; readonly lines: LinesRun }

/** Runs seeds in child processes; `onReport` sees each one as it ends. */
export async function runSeeds(options: SimOptions, onReport: (report: SeedReport) => void): Promise<{ readonly reports: readonly SeedReport[]; readonly coverage: LinesRun }> {
  const deadlineMs = options.minutes === null ? Infinity : Date.now() + options.minutes * 60_000
  const reports: SeedReport[] = []
  let next = options.first
  let stopped = false
  let coverage: LinesRun = {}
  const children = new Set<ChildProcess>()
  const isOver = (): boolean => stopped || Date.now() > deadlineMs || (options.minutes === null && next >= options.first + options.seeds)
  const work = (covers: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(new URL('seed-worker.ts', import.meta.url), covers ? ['cover'] : [], { execArgv: ['--disable-warning=ExperimentalWarning'] })
      children.add(child)
      let current: number | null = null
      let left = covers ? seedsCovered : options.covers ? seedsPerProcessMax - seedsCovered : seedsPerProcessMax
      const feed = (to: ChildProcess): void => {
        if (!to.connected) return
        if (isOver() || left === 0) {
          current = null
          to.send({ kind: 'end' })
          return
        }
        current = next
        next += 1
        left -= 1
        to.send({ kind: 'run', seed: current })
      }
      child.on('message', (word: Word) => {
        if (word.kind === 'ready') return feed(child)
        if (word.kind === 'coverage') {
          coverage = addCoverage(coverage, word.lines)
          return
        }
        const { report } = word
        reports.push(report)
        onReport(report)
        if (report.failure !== null && options.stopAtFailure) {
          stopped = true
          // What the others are at may take long, and changes nothing of what was found.
          for (const each of children) if (each !== child) each.kill()
        }
        feed(child)
      })
      child.on('error', reject)
      child.on('exit', (code) => {
        children.delete(child)
        if (stopped || (code === 0 && current === null)) resolve(isOver() ? undefined : work(options.covers && !covers))
        else reject(new Error(`the worker of seed ${String(current)} ended with code ${String(code)}`))
      })
    })
  await Promise.all(Array.from({ length: Math.max(1, Math.min(options.jobs, options.seeds)) }, () => work(options.covers)))
  return { reports: reports.toSorted((left, right) => left.seed - right.seed), coverage }
}

async function replay(seed: number): Promise<number> {
  const report = await runSeed(seed, { onNote: process.env['TRACE'] === undefined ? undefined : (note) => console.log(note) })
  console.log(JSON.stringify(report, null, 2))
  return report.failure === null ? 0 : 1
}

async function main(): Promise<number> {
  const { SEED: seed = '', SEEDS: seeds = '', MINUTES: minutes = '', FIRST: first = '', JOBS: jobs = '' } = process.env
  if (seed !== '') return await replay(Number(seed))
  const startMs = Date.now()
  const options = {
    seeds: Number(seeds === '' ? 200 : seeds), first: Number(first === '' ? 1 : first), minutes: minutes === '' ? null : Number(minutes),
    jobs: jobs === '' ? availableParallelism() : Number(jobs), stopAtFailure: process.env['STOP'] === '1', covers: process.env['COVER'] !== '0',
  }
  const { reports, coverage } = await runSeeds(options, (report) => {
    if (report.failure !== null) console.log(`seed ${report.seed} FAILED: ${report.failure}\n  replay it with: make sim SEED=${report.seed}`)
  })
  console.log(renderTotals(reports, Date.now() - startMs))
  if (options.covers) console.log(`\nlines run, by ${seedsCovered} of ${seedsPerProcessMax} seeds\n${renderCoverage(coverage)}`)
  return reports.some((report) => report.failure !== null) ? 1 : 0
}

if (import.meta.main) process.exitCode = await main()
