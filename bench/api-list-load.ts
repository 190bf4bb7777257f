// The load of api-list.ts, in a thread of its own: requests at fixed times, whatever the answers do, so that a stall counts for each that waited.
import { Agent, request } from 'node:https'
import { parentPort, workerData } from 'node:worker_threads'

export type Load = { readonly port: number; readonly ca: string; readonly token: string; readonly path: string; readonly perSecond: number; readonly count: number; readonly connectionsMax: number }
export type LoadResult = { readonly samplesMs: readonly number[]; readonly failures: Readonly<Record<string, number>>; readonly bytes: number; readonly items: number }

const load = workerData as Load
const agent = new Agent({ keepAlive: true, maxSockets: load.connectionsMax, ca: load.ca })

function askOnce(): Promise<{ status: number; bytes: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: 'localhost', port: load.port, path: load.path, agent, headers: { Authorization: `Bearer ${load.token}` } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const body = Buffer.concat(chunks)
        resolve({ status: response.statusCode ?? 0, bytes: body.length, body: body.toString() })
      })
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end()
  })
}

async function run(): Promise<LoadResult> {
  const samplesMs: number[] = []
  const failures: Record<string, number> = {}
  let [bytes, items] = [0, 0]
  const first = performance.now()
  const pending: Promise<void>[] = []
  for (let number = 0; number < load.count; number++) {
    const dueMs = first + (number * 1000) / load.perSecond
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    pending.push(askOnce().then((answer) => {
      samplesMs.push(performance.now() - dueMs)
      bytes = answer.bytes
      if (items === 0) items = (JSON.parse(answer.body) as { items: unknown[] }).items.length
      if (answer.status !== 200) failures[answer.status] = (failures[answer.status] ?? 0) + 1
    }, (error: unknown) => {
      const name = error instanceof Error ? error.message : String(error)
      failures[name] = (failures[name] ?? 0) + 1
    }))
  }
  await Promise.all(pending)
  return { samplesMs, failures, bytes, items }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
parentPort?.postMessage(await run())
