// The load of api-list.ts, in a process of its own: requests at fixed times, whatever the answers do, so that a stall counts for each that waited.
import { Agent, request } from 'node:https'

export type Load = {
  readonly url: string
  readonly ca: string
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  readonly perSecond: number
  readonly count: number
}
/** `samplesMs`: from the time a request was due to the end of its answer, in the order they were due; NaN where it failed. */
export type LoadResult = { readonly samplesMs: readonly number[]; readonly failures: Readonly<Record<string, number>>; readonly bytes: number; readonly firstBody: string }

const connectionsMax = 128
const requestTimeoutMs = 30_000

async function run(load: Load): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connectionsMax, ca: load.ca })
  const samplesMs = Array.from<number>({ length: load.count }).fill(Number.NaN)
  const failures: Record<string, number> = {}
  let [bytes, firstBody] = [0, '']
  const fail = (why: string): void => void (failures[why] = (failures[why] ?? 0) + 1)
  const firstMs = performance.now() + 10
  const pending: Promise<void>[] = []
  for (let number = 0; number < load.count; number += 1) {
    const dueMs = firstMs + (number * 1000) / load.perSecond
    const waitMs = dueMs - performance.now()
    // Rounded up, because a timer may come a fraction of a millisecond early.
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMs)))
    pending.push(askOnce(load, agent).then((answer) => {
      if (answer.status !== 200) return fail(`status ${answer.status}`)
      samplesMs[number] = performance.now() - dueMs
      bytes = answer.body.length
      if (firstBody === '') firstBody = answer.body.toString()
    }, (error: unknown) => fail(error instanceof Error ? error.message : String(error))))
  }
  await Promise.all(pending)
  agent.destroy()
  return { samplesMs, failures, bytes, firstBody }
}

function askOnce(load: Load, agent: Agent): Promise<{ readonly status: number; readonly body: Buffer }> {
  return new Promise((resolve, reject) => {
    const headers = load.body === null ? load.headers : { ...load.headers, 'content-length': String(Buffer.byteLength(load.body)) }
    const asked = request(load.url, { method: load.method, agent, headers, timeout: requestTimeoutMs }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }))
      response.on('error', reject)
    })
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${requestTimeoutMs} ms`)))
    asked.on('error', reject)
    asked.end(load.body ?? undefined)
  })
}

process.on('message', (load: Load) => void run(load).then((result) => process.send?.(result)))
process.on('disconnect', () => process.exit(0))
