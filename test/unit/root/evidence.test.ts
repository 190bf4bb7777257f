// The evidence of a divergence: saved once, whole, for its owner alone; a fault is told.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { SupportBundle } from '../../../src/app/face.ts'
import { readBundle } from '../../../src/cli/bundle-file.ts'
import { saveEvidence } from '../../../src/evidence.ts'
import { recordingLog, type LogLine } from '../http/harness.ts'

const bundleOf = (line: string): SupportBundle => ({ node: 'n1', nowMs: 0, lines: (async function* () {
  await Promise.resolve()
  yield { kind: 'log' as const, line }
})() })

test('the first is kept', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'nc-evidence-'))
  const lines: LogLine[] = []
  await saveEvidence(bundleOf('first'), { dataDir, index: 7 }, recordingLog(lines))
  const path = join(dataDir, 'diverged-7.bundle.gz')
  const bytes = readFileSync(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  for await (const line of readBundle(path)) expect(line).toEqual({ kind: 'log', line: 'first' })
  await saveEvidence(bundleOf('second'), { dataDir, index: 7 }, recordingLog(lines))
  expect(readFileSync(path)).toEqual(bytes)
  expect(lines.map(({ level }) => level)).toEqual(['warn'])
  rmSync(dataDir, { recursive: true })
  await saveEvidence(bundleOf('third'), { dataDir, index: 8 }, recordingLog(lines))
  expect(lines.at(-1)).toMatchObject({ level: 'error', message: expect.stringContaining('novacron support-bundle') })
})

test('half of it is none: nothing lies under its name, and the next one is kept', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'nc-evidence-'))
  const lines: LogLine[] = []
  const torn = { ...bundleOf('first'), lines: (async function* () {
    yield { kind: 'log' as const, line: 'first' }
    await Promise.resolve()
    throw new Error('no space')
  })() }
  await saveEvidence(torn, { dataDir, index: 7 }, recordingLog(lines))
  expect(readdirSync(dataDir)).toEqual([])
  expect(lines).toMatchObject([{ level: 'error' }])
  // Of a process that was killed in its midst.
  writeFileSync(join(dataDir, 'diverged-7.bundle.gz.part'), 'half')
  await saveEvidence(bundleOf('second'), { dataDir, index: 7 }, recordingLog(lines))
  expect(readdirSync(dataDir)).toEqual(['diverged-7.bundle.gz'])
  for await (const line of readBundle(join(dataDir, 'diverged-7.bundle.gz'))) expect(line).toEqual({ kind: 'log', line: 'second' })
  rmSync(dataDir, { recursive: true })
})
