// Runs all tests, stage by stage, and ends with the line `N passed, N failed`: checks, unit and contract, simulation, end to end.
//
//   node test/run.ts [check|unit|sim|e2e]...     without names: all
//
// A stage that fails does not stop the next: one run tells all that is wrong.
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { coverageByRoom, renderCoverage } from './runner/coverage.ts'
import { runStage } from './runner/stage.ts'
import { addTallies, judgeSkips, nothing, oneFailure, tallyTap, tallyVitest, type Tally } from './runner/tally.ts'

const root = join(import.meta.dirname, '..')
const reports = join(root, 'build', 'test')
const binaries = join(root, 'node_modules', '.bin')
const vitest = join(binaries, 'vitest')
const minuteMs = 60_000
const endToEndLanes = Number(process.env.E2E_LANES ?? '2')

const stages = { check: runChecks, unit: runUnit, sim: runSim, e2e: runEndToEnd } as const
type StageName = keyof typeof stages

async function runChecks(): Promise<Tally> {
  const checks: Readonly<Record<string, readonly string[]>> = {
    'pure rooms compile alone': [join(binaries, 'tsc'), '-p', 'tsconfig.pure.json'],
    types: [join(binaries, 'tsc'), '-p', 'tsconfig.json'],
    lint: [join(binaries, 'oxlint'), '--type-aware', '--deny-warnings', ...['src', 'ui', 'test', 'bench'].filter((path) => existsSync(join(root, path)))],
    'unused code': [join(binaries, 'knip'), '--no-progress'],
  }
  let tally = nothing
  for (const [name, command] of Object.entries(checks)) {
    const result = await runStage(command, { timeoutMs: 5 * minuteMs, quiet: true })
    say(`${result.code === 0 ? 'ok    ' : 'FAILED'} ${name} (${result.seconds.toFixed(1)} s)`)
    if (result.code !== 0) say(result.output)
    tally = addTallies(tally, result.code === 0 ? { ...nothing, passed: 1 } : oneFailure(`check: ${name}`))
  }
  return addTallies(tally, await runVitest('tidy', ['--project', 'tidy'], { timeoutMs: 5 * minuteMs }))
}

async function runUnit(): Promise<Tally> {
  rmSync(join(root, 'coverage'), { recursive: true, force: true })
  return await runVitest('unit', ['--project', 'unit', '--project', 'contract', '--coverage'], { timeoutMs: 20 * minuteMs })
}

// Each seed is a test; the simulator's own tests (that it bites) are vitest's.
async function runSim(): Promise<Tally> {
  const seeds = Number(process.env.SEEDS ?? '24')
  const result = await runStage([process.execPath, 'test/sim/run.ts'], { timeoutMs: 25 * minuteMs, env: { SEEDS: String(seeds), SEED: '' } })
  const failed = new Set([...result.output.matchAll(/^seed (\d+) FAILED/gm)].map((match) => `sim: seed ${match[1]}`))
  if (result.code !== 0 && failed.size === 0) failed.add(`sim: ended with ${result.code}`)
  const tally: Tally = { ...nothing, passed: Math.max(0, seeds - failed.size), failed: failed.size, failures: [...failed] }
  const own = globSync('test/sim/**/*.test.ts', { cwd: root })
  return own.length === 0 ? tally : addTallies(tally, await runVitest('sim', ['--project', 'sim'], { timeoutMs: 10 * minuteMs }))
}

// Each file has a lab of its own, and waits most of the time: two run side by side, but for those with a browser, which drops its requests when
// another lab's interfaces come and go (ERR_NETWORK_CHANGED). What one says is shown when it is over, in one piece.
async function runEndToEnd(): Promise<Tally> {
  const files = globSync('test/e2e/**/*.test.ts', { cwd: root }).toSorted()
  if (files.length === 0) return oneFailure('e2e: there are no tests')
  let tally = nothing
  const lane = async (waiting: Iterable<string>): Promise<void> => {
    for (const file of waiting) {
      const result = await runStage([process.execPath, file], { timeoutMs: 20 * minuteMs, quiet: true })
      say(`\n# ${file} (${result.seconds.toFixed(0)} s)\n${result.output.trimEnd()}`)
      const counted = tallyTap(result.output, basename(file))
      tally = addTallies(tally, counted)
      if (result.code !== 0 && counted.failed === 0) tally = addTallies(tally, oneFailure(`${file}: exit code ${result.code}`))
    }
  }
  const withBrowser = (file: string) => readFileSync(join(root, file), 'utf8').includes("'./browser.ts'")
  const shared = files.filter((file) => !withBrowser(file))[Symbol.iterator]()
  await Promise.all(Array.from({ length: endToEndLanes }, () => lane(shared)))
  await lane(files.filter(withBrowser))
  return tally
}

async function runVitest(name: string, args: readonly string[], options: { readonly timeoutMs: number; readonly env?: NodeJS.ProcessEnv }): Promise<Tally> {
  const report = join(reports, `${name}.json`)
  rmSync(report, { force: true })
  const result = await runStage([vitest, 'run', ...args, '--reporter=dot', '--reporter=json', `--outputFile.json=${report}`], options)
  if (!existsSync(report)) return oneFailure(`${name}: vitest ended with ${result.code} and no report`)
  const tally = tallyVitest(JSON.parse(readFileSync(report, 'utf8')))
  if (tally.passed + tally.failed + tally.skipped.length === 0) return oneFailure(`${name}: there are no tests`)
  // An error outside of any test (an unhandled rejection) fails the run too.
  return result.code !== 0 && tally.failed === 0 ? addTallies(tally, oneFailure(`${name}: vitest ended with ${result.code}`)) : tally
}

function sayCoverage(): void {
  const path = join(root, 'coverage', 'coverage-summary.json')
  if (existsSync(path)) say(`\nCoverage by room (unit and contract tests):\n${renderCoverage(coverageByRoom(JSON.parse(readFileSync(path, 'utf8')), root))}`)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function isStage(name: string): name is StageName {
  return Object.hasOwn(stages, name)
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2)
  const unknown = wanted.filter((name) => !isStage(name))
  if (unknown.length > 0) throw new Error(`no stage ${unknown.join(', ')}; there are ${Object.keys(stages).join(', ')}`)
  process.chdir(root)
  mkdirSync(reports, { recursive: true })
  let total = nothing
  const lines: string[] = []
  for (const [name, stage] of Object.entries(stages)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    say(`\n== ${name}`)
    const startedMs = performance.now()
    const tally = await stage()
    total = addTallies(total, tally)
    lines.push(`  ${name.padEnd(8)}${String(tally.passed).padStart(6)} passed ${String(tally.failed).padStart(4)} failed ${String(tally.skipped.length).padStart(4)} skipped ${((performance.now() - startedMs) / 1000).toFixed(0).padStart(6)} s`)
  }
  const judged = judgeSkips(total, JSON.parse(readFileSync(join(root, 'test', 'skips.json'), 'utf8')))
  sayCoverage()
  say(`\n${lines.join('\n')}`)
  if (judged.failures.length > 0) say(`\nFailed:\n${judged.failures.map((name) => `  ${name}`).join('\n')}`)
  process.exitCode = judged.failed === 0 ? 0 : 1
  say(`\n${judged.passed} passed, ${judged.failed} failed`)
}

await main()
