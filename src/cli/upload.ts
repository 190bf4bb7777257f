// Sends a file in parts and goes on by itself: after a broken connection, a restart of the node, or a new run with the same file.
import { createHash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { exitCodes, Failure, usageFailure } from './io.ts'
import { listAt } from './nouns.ts'
import { escapeText, renderBytes, textAt, valueAt } from './output.ts'
import type { Shell } from './shell.ts'

const path = '/api/v1/uploads'
/** What a break costs at most. */
const partBytes = 32 * 1024 * 1024
/** Without a byte for so long it is given up; what has come stays at the node for a day. */
const outageMsMax = 120_000
const pauseMs = 500
const progressEveryMs = 500
const sampleBytes = 1024 * 1024

export type LocalFile = { readonly path: string; readonly sizeBytes: number; /** Tells a later run that it is the same file. */ readonly fingerprint: string }

/** @throws usage Failure where it cannot be read */
export async function lookAtFile(filePath: string): Promise<LocalFile> {
  try {
    const { size, mtimeMs } = await stat(filePath)
    const handle = await open(filePath)
    try {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(Math.min(size, sampleBytes)), 0)
      const digest = createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex')
      return { path: filePath, sizeBytes: size, fingerprint: `${size}-${Math.floor(mtimeMs)}-${digest.slice(0, 32)}` }
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw usageFailure(`${filePath} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
}

/** @returns the image. @throws Failure */
export async function uploadFile(shell: Shell, file: LocalFile, wish: { readonly name: string; readonly labels?: object; readonly spec: object }): Promise<unknown> {
  if (file.sizeBytes === 0) throw new Failure(exitCodes.conflict, 'IMAGE_UNREADABLE', `${file.path} is empty.`)
  const client = shell.client()
  const upload = await begin(shell, file, wish)
  const one = `${path}/${encodeURIComponent(textAt(upload, 'id'))}`
  const meter = createMeter(shell, wish.name, file.sizeBytes)
  try {
    await sendParts(shell, { file, one, offset: offsetOf(upload), onSent: meter.onBytes })
    return (await client.write({ method: 'POST', path: `${one}/finish`, slow: true })).body
  } finally {
    meter.end()
  }
}

async function begin(shell: Shell, file: LocalFile, wish: { readonly name: string; readonly labels?: object; readonly spec: object }): Promise<unknown> {
  const client = shell.client()
  const known = listAt(await client.get(path), 'items').find((upload) => textAt(upload, 'name') === wish.name && textAt(upload, 'spec', 'fingerprint') === file.fingerprint)
  if (known !== undefined) {
    shell.progress(`${escapeText(wish.name)}: going on at ${renderBytes(offsetOf(known))}, where an earlier upload ended`)
    return known
  }
  return (await client.write({ method: 'POST', path, body: { ...wish, spec: { ...wish.spec, sizeBytes: file.sizeBytes, fingerprint: file.fingerprint } } })).body
}

async function sendParts(shell: Shell, { file, one, offset: from, onSent }: { readonly file: LocalFile; readonly one: string; readonly offset: number; readonly onSent: (sentBytes: number) => void }): Promise<void> {
  const client = shell.client()
  let offset = from
  let heardMs = performance.now()
  let told = false
  while (offset < file.sizeBytes) {
    const begunAt = offset
    const part = { path: file.path, startBytes: offset, sizeBytes: Math.min(partBytes, file.sizeBytes - offset), onBytes: (sentBytes: number) => onSent(begunAt + sentBytes) }
    try {
      offset = offsetOf((await client.write({ method: 'PUT', path: `${one}/data`, query: { offset: String(offset) }, file: part })).body)
    } catch (error) {
      if (!mayGoOn(error) || performance.now() - heardMs > outageMsMax) throw error
      if (!told) shell.progress('The connection broke; going on as soon as the node answers.')
      told = true
      await delay(pauseMs)
      offset = await client.get(one).then(offsetOf, (failure: unknown) => {
        if (mayGoOn(failure)) return offset
        throw failure
      })
      if (offset === begunAt) continue
    }
    heardMs = performance.now()
  }
}

/** The node was away, or had more than we knew of. */
function mayGoOn(error: unknown): boolean {
  return error instanceof Failure && (error.exitCode === exitCodes.unreachable || error.code === 'STATE_CONFLICT' || error.code === 'REQUEST_TIMEOUT' || error.code === 'MALFORMED' || error.code === 'OUTCOME_UNKNOWN')
}

function offsetOf(upload: unknown): number {
  const offset = valueAt(upload, 'status', 'offset')
  if (typeof offset !== 'number') throw new Failure(exitCodes.failed, 'FAILED', 'The node does not say where the upload goes on.')
  return offset
}

/** A line that counts on a terminal; one line elsewhere. */
function createMeter(shell: Shell, name: string, sizeBytes: number): { readonly onBytes: (sentBytes: number) => void; readonly end: () => void } {
  const live = shell.io.stderr.isTTY === true
  let toldMs = 0
  if (!live) shell.progress(`${escapeText(name)}: sending ${renderBytes(sizeBytes)}`)
  return {
    onBytes(sentBytes) {
      const nowMs = performance.now()
      if (!live || (nowMs - toldMs < progressEveryMs && sentBytes < sizeBytes)) return
      toldMs = nowMs
      shell.io.stderr.write(`\r\u001b[K${escapeText(name)}: ${renderBytes(sentBytes)} of ${renderBytes(sizeBytes)}${sentBytes >= sizeBytes ? ', being checked' : ''}`)
    },
    end() {
      if (live) shell.io.stderr.write('\r\u001b[K')
    },
  }
}
