// Planted bugs: each patch in `mutants` is applied to a copy of the sources, and the simulator has to find it. `make mutants`, MUTANT=name for one.
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const folder = join(import.meta.dirname, 'mutants')
const seedsMaxDefault = 2000
/** A mutant is run for so long at most. */
const limitMs = 3_600_000

export type Mutant = { readonly name: string; readonly path: string; /** Which of the 44, or what else must hold. */ readonly statement: string; readonly bug: string }
/** `seed`: the first that found it; null: none did. */
type Hunt = { readonly seed: number | null; readonly violation: string; readonly output: string }

export function mutants(): readonly Mutant[] {
  return globSync('*.patch', { cwd: folder }).toSorted().map((file) => {
    const text = readFileSync(join(folder, file), 'utf8')
    const field = (name: string): string => new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1] ?? ''
    return { name: basename(file, '.patch'), path: join(folder, file), statement: field('Statement'), bug: field('Bug') }
  })
}

/** Runs seeds with the bug until one of them fails. @throws Error where the patch does not fit the sources any more */
export function hunt(mutant: Mutant, options: { readonly seeds: number; readonly jobs: number; readonly limitMs?: number }): Hunt {
  const copy = mkdtempSync(join(tmpdir(), 'mutant-'))
  try {
    for (const part of ['src', 'ui', 'test', 'package.json', 'tsconfig.json']) cpSync(join(root, part), join(copy, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const applied = spawnSync('git', ['apply', '--whitespace=nowarn', mutant.path], { cwd: copy, encoding: 'utf8', env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() } })
    if (applied.status !== 0) throw new Error(`the mutant ${mutant.name} does not fit any more: ${applied.stderr}`)
    const run = spawnSync(process.execPath, ['test/sim/run.ts'], {
      cwd: copy, encoding: 'utf8', timeout: options.limitMs ?? limitMs, maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, SEEDS: String(options.seeds), JOBS: String(options.jobs), STOP: '1', COVER: '0', SEED: '', FIRST: '', MINUTES: '' },
    })
    const output = run.stdout + run.stderr
    const found = /^seed (\d+) FAILED: (.*)/m.exec(output)
    return found === null ? { seed: null, violation: '', output } : { seed: Number(found[1]), violation: found[2] ?? '', output }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function main(): number {
  const { MUTANT: wanted = '', SEEDS: seeds = '', JOBS: jobs = '' } = process.env
  const chosen = mutants().filter(({ name }) => wanted === '' || name === wanted)
  if (chosen.length === 0) throw new Error(`there is no mutant ${wanted}, only ${mutants().map(({ name }) => name).join(', ')}`)
  let missed = 0
  for (const mutant of chosen) {
    const startMs = Date.now()
    const options = { seeds: seeds === '' ? seedsMaxDefault : Number(seeds), jobs: jobs === '' ? availableParallelism() : Number(jobs) }
    const { seed, violation, output } = hunt(mutant, options)
    if (seed === null) missed += 1
    const what = seed === null ? `NOT FOUND in ${options.seeds} seeds\n${output.slice(-2000)}` : `seed ${String(seed).padStart(4)}, ${((Date.now() - startMs) / 1000).toFixed(0)} s: ${violation.slice(0, 140)}`
    console.log(`${mutant.statement.slice(0, 3).padEnd(3)} ${mutant.name.padEnd(28)} ${what}`)
  }
  console.log(`${chosen.length} planted bugs, ${missed} not found`)
  return missed === 0 ? 0 : 1
}

if (import.meta.main) process.exitCode = main()
