// Writes a support bundle as a file: gzip of one line of JSON each, of which the last holds the checksum of all before it.
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { BundleLine } from '../model/support-bundle.ts'

export const bundleType = 'application/gzip'

/** Fails where the lines do: whoever reads it finds no last line. */
export function packBundle(lines: AsyncIterable<BundleLine>): Readable {
  const gzip = createGzip()
  const source = Readable.from(renderLines(lines)).on('error', (error) => gzip.destroy(error))
  // Whoever goes away in its midst ends the making of it too.
  gzip.once('close', () => source.destroy())
  source.pipe(gzip)
  return gzip
}

/** @param node its name, a DNS label */
export function bundleHeaders(node: string, nowMs: number): Readonly<Record<string, string>> {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  return { 'Content-Type': bundleType, 'Content-Disposition': `attachment; filename="novacron-${node}-${time}.bundle.gz"`, 'Cache-Control': 'no-store' }
}

async function* renderLines(lines: AsyncIterable<BundleLine>): AsyncGenerator<string, void> {
  const hash = createHash('sha256')
  let count = 0
  for await (const line of lines) {
    const text = `${JSON.stringify(line)}\n`
    hash.update(text)
    count += 1
    yield text
  }
  yield `${JSON.stringify({ kind: 'end', lines: count, sha256: hash.digest('hex') } satisfies BundleLine)}\n`
}
