// Reading a support bundle: bounded, whatever the file unpacks to.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { readBundle } from '../../../src/cli/bundle-file.ts'

test.each([
  ['one endless line', `{"kind":"log","line":"${'x'.repeat(4 * 2 ** 20)}"}\n`],
  ['lines without end', '{"kind":"log","line":"again"}\n'.repeat(2 ** 17)],
])('%s: given up before it fills the memory', async (_what, text) => {
  const directory = mkdtempSync(join(tmpdir(), 'nc-bundle-file-'))
  const path = join(directory, 'bomb.gz')
  writeFileSync(path, gzipSync(text))
  const read = async () => {
    let characters = 0
    for await (const line of readBundle(path, 2 ** 20)) characters += JSON.stringify(line).length
    return characters
  }
  await expect(read()).rejects.toThrow(/unpacks to more than 1 MiB/)
  writeFileSync(path, gzipSync(text).subarray(0, 200))
  await expect(read()).rejects.toThrow(/not whole/)
  rmSync(directory, { recursive: true })
})
