// Reads a support bundle: unpacks it, proves its checksum and parses every line.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { bundleLineSchema, bundleReadBytesMax, type BundleLine } from '../model/support-bundle.ts'

/** @throws Error with a sentence for people, where it is no bundle, not whole, changed since it was made, or unpacks to more than one ever has */
export async function* readBundle(path: string, bytesMax = bundleReadBytesMax): AsyncGenerator<BundleLine, void> {
  const source = createReadStream(path)
  const gunzip = createGunzip()
  source.on('error', (error) => gunzip.destroy(error))
  const pieces = Readable.from(atMost(source.pipe(gunzip), bytesMax))
  const hash = createHash('sha256')
  let count = 0
  let isProven = false
  try {
    for await (const text of createInterface({ input: pieces, crlfDelay: Infinity })) {
      const line = parseLine(text, count + 1)
      if (line.kind === 'end') {
        isProven = line.lines === count && line.sha256 === hash.copy().digest('hex')
        break
      }
      hash.update(`${text}\n`)
      count += 1
      yield line
    }
  } catch (error) {
    throw new Error(`${path} is no support bundle, or not whole: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  } finally {
    for (const stream of [source, gunzip, pieces]) stream.destroy()
  }
  if (!isProven) throw new Error(`${path} is not whole, or was changed: its checksum does not match.`)
}

/** Also bounds a line, which is kept whole. */
async function* atMost(pieces: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Buffer, void> {
  let bytes = 0
  for await (const piece of pieces) {
    bytes += piece.length
    if (bytes > bytesMax) throw new Error(`it unpacks to more than ${bytesMax / 2 ** 20} MiB`)
    yield piece
  }
}

function parseLine(text: string, number: number): BundleLine {
  const parsed = bundleLineSchema.safeParse(JSON.parse(text))
  if (!parsed.success) throw new Error(`line ${number} is none of a bundle that this version knows`)
  return parsed.data
}
