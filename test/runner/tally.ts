// Counts of what passed, failed and was skipped, over all kinds of test runners.
import { z } from 'zod'

export type Tally = {
  readonly passed: number
  readonly failed: number
  /** Names of failed tests, for the summary. */
  readonly failures: readonly string[]
  /** Full names of skipped tests. */
  readonly skipped: readonly string[]
}

export const nothing: Tally = { passed: 0, failed: 0, failures: [], skipped: [] }

export function addTallies(left: Tally, right: Tally): Tally {
  return {
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    failures: [...left.failures, ...right.failures],
    skipped: [...left.skipped, ...right.skipped],
  }
}

export function oneFailure(name: string): Tally {
  return { ...nothing, failed: 1, failures: [name] }
}

const skipSchema = z.array(z.strictObject({ test: z.string().min(1), hardware: z.string().min(10).describe('What the machine lacks') }))

/**
 * A skipped test is a failure, unless `test/skips.json` names it and the hardware that it lacks.
 * @throws ZodError if the list is malformed.
 */
export function judgeSkips(tally: Tally, skips: unknown): Tally {
  const allowed = new Set(skipSchema.parse(skips).map((skip) => skip.test))
  const forbidden = tally.skipped.filter((name) => !allowed.has(name))
  return { ...tally, failed: tally.failed + forbidden.length, failures: [...tally.failures, ...forbidden.map((name) => `${name} (skipped, not in test/skips.json)`)] }
}

const vitestSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().optional(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
})

/** Reads the report of vitest's `json` reporter. */
export function tallyVitest(report: unknown): Tally {
  let tally = nothing
  for (const file of vitestSchema.parse(report).testResults) {
    for (const { fullName, status } of file.assertionResults) {
      if (status === 'passed') tally = { ...tally, passed: tally.passed + 1 }
      else if (status === 'failed') tally = addTallies(tally, oneFailure(fullName))
      else tally = { ...tally, skipped: [...tally.skipped, fullName] }
    }
    // A file that does not load has no tests in it that could fail.
    if (file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed')) tally = addTallies(tally, oneFailure(`${file.name}: ${file.message ?? 'failed'}`))
  }
  return tally
}

const tapLine = /^(\s*)(not )?ok\b\s*\d*\s*(?:- )?(.*?)(?:\s+#\s*(SKIP|TODO|time=\S+)\b.*)?\s*\{?$/i

/**
 * Reads a TAP stream: tests at the outer level count, skips count at every level. A stream that has no plan, or fewer tests
 * than its plan says, was cut short, which is a failure.
 */
export function tallyTap(text: string, file: string): Tally {
  let tally = nothing
  let planned: number | undefined
  for (const line of text.split('\n')) {
    planned = /^1\.\.(\d+)/.exec(line) ? Number(/^1\.\.(\d+)/.exec(line)?.[1]) : planned
    if (line.startsWith('Bail out!')) tally = addTallies(tally, oneFailure(`${file}: ${line}`))
    const match = tapLine.exec(line)
    if (match === null) continue
    const [, indent = '', not, name = '', directive = ''] = match
    if (/SKIP|TODO/i.test(directive)) tally = { ...tally, skipped: [...tally.skipped, name] }
    else if (indent !== '') continue
    else if (not === undefined) tally = { ...tally, passed: tally.passed + 1 }
    else tally = addTallies(tally, oneFailure(`${file}: ${name}`))
  }
  const seen = text.split('\n').filter((line) => /^(not )?ok\b/.test(line)).length
  if (planned === undefined || seen < planned) tally = addTallies(tally, oneFailure(`${file}: ended after ${seen} of ${planned ?? 'an unknown number of'} tests`))
  return tally
}
