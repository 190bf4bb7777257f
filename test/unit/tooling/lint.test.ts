// The lint rules bite: each rule that the conventions lean on finds a violation planted for it.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..', '..', '..')
const planted: Readonly<Record<string, { readonly rule: string; readonly files: Readonly<Record<string, string>> }>> = {
  'a floating promise': {
    rule: 'no-floating-promises',
    files: { 'floating.ts': 'export function start(): void {\n  work()\n}\nasync function work(): Promise<void> {\n  await Promise.resolve()\n}\n' },
  },
  'a switch that forgets a kind': {
    rule: 'switch-exhaustiveness-check',
    files: { 'switch.ts': "export function name(kind: 'a' | 'b'): string {\n  switch (kind) {\n    case 'a':\n      return 'A'\n  }\n  return ''\n}\n" },
  },
  'an import cycle': {
    rule: 'no-cycle',
    files: {
      'one.ts': "import { two } from './two.ts'\nexport function one(): number {\n  return two()\n}\n",
      'two.ts': "import { one } from './one.ts'\nexport function two(): number {\n  return one()\n}\n",
    },
  },
  'a barrel': { rule: 'no-barrel-file', files: { 'barrel.ts': "export * from './long.ts'\n" } },
  'a default export': { rule: 'no-default-export', files: { 'default.ts': 'export default 1\n' } },
  'a file over 500 lines': { rule: 'max-lines', files: { 'long.ts': `${Array.from({ length: 501 }, (_, line) => `export const line${line} = ${line}`).join('\n')}\n` } },
  'a function over 70 lines': {
    rule: 'max-lines-per-function',
    files: { 'function.ts': `export function long(): void {\n${Array.from({ length: 71 }, (_, line) => `  process.title = '${line}'`).join('\n')}\n}\n` },
  },
}

let directory = ''
let output = ''

beforeAll(async () => {
  mkdirSync(join(root, 'build'), { recursive: true })
  directory = mkdtempSync(join(root, 'build', 'lint-'))
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: ['.'] }))
  // The planted files lie where lint does not look by itself.
  const config = JSON.parse(readFileSync(join(root, '.oxlintrc.json'), 'utf8')) as Record<string, unknown>
  writeFileSync(join(directory, 'oxlint.json'), JSON.stringify({ ...config, ignorePatterns: [] }))
  for (const { files } of Object.values(planted)) for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  output = await lint(directory)
}, 60_000)

afterAll(() => rmSync(directory, { recursive: true, force: true }))

async function lint(path: string): Promise<string> {
  try {
    await promisify(execFile)(join(root, 'node_modules', '.bin', 'oxlint'), ['--type-aware', '--deny-warnings', '--no-ignore', '-c', join(path, 'oxlint.json'), '--format', 'unix', path], { cwd: root })
    return ''
  } catch (error) {
    return String((error as { stdout?: string }).stdout)
  }
}

for (const [what, { rule, files }] of Object.entries(planted)) {
  test(`finds ${what}`, () => {
    const lines = output.split('\n').filter((line) => line.includes(rule))
    expect(lines.some((line) => Object.keys(files).some((name) => line.includes(name))), output).toBe(true)
  })
}
