// `make replay`: starts a simulated node on the disk that a support bundle describes, lets production code apply its log, and says what came of it.
// BUNDLE=file, INDEX=n stops there, RESOURCE=table/name-or-id follows one record.
import { Cluster } from '../../src/cluster/cluster.ts'
import { SimLogStore } from '../../src/drivers/sim/log-store.ts'
import { SimNetwork } from '../../src/drivers/sim/network.ts'
import { SimStateStore } from '../../src/drivers/sim/state-store.ts'
import type { NodeId } from '../../src/model/id.ts'
import type { Log } from '../../src/ports/log.ts'
import { digestVersion } from '../../src/state/canonical.ts'
import { tableNames, type State, type TableName } from '../../src/state/state.ts'
import { Corrections, commandOf, diskOf, loadBundle, type Bundle, type BundleEntry } from './bundle.ts'
import { EventQueue } from './event-queue.ts'
import { SimClock } from './sim-clock.ts'
import { SimRandom } from './sim-random.ts'

export type ReplayOptions = { readonly index?: number | undefined; readonly resource?: string | undefined }
export type Change = { readonly path: string; readonly before: unknown; readonly after: unknown }
/** What an entry did. */
export type Step = { readonly index: number; readonly what: string; readonly outcome: string; readonly changes: readonly Change[] }
export type Difference = { readonly index: number; readonly by: string; readonly hash: string; readonly expected: string }
export type Replay = {
  readonly bundle: Bundle
  readonly state: State
  /** As the node has it, secrets included. */
  readonly hash: string
  /** Hashes that were compared: of the node itself, entry by entry, and of checkpoints. */
  readonly compared: { readonly entries: number; readonly checkpoints: number }
  /** The first that differs, of either kind. */
  readonly difference: Difference | null
  /** Of the index that was asked for, or of the first that differs. */
  readonly at: Step | null
  /** Every entry that changed the resource. */
  readonly history: readonly Step[]
}

type Tables = ReadonlyMap<TableName, ReadonlyMap<string, unknown>>
type Followed = { readonly table: TableName; readonly ref: string }

/** @throws Error where the bundle cannot be replayed, or what is asked for is not in it */
export async function replayBundle(path: string, options: ReplayOptions = {}): Promise<Replay> {
  const bundle = await loadBundle(path)
  const last = bundle.base.index + bundle.entries.length
  const index = options.index ?? last
  if (!Number.isInteger(index) || index < bundle.base.index || index > last) throw new Error(`the bundle leads from index ${bundle.base.index} to ${last}; ${String(options.index)} is not among them`)
  const followed = options.resource === undefined ? null : parseResource(options.resource)
  const found = await run(bundle, { index, lookAt: options.index ?? null, followed })
  const { difference } = found
  if (found.at !== null || difference === null || options.index !== undefined) return found
  // Once more, to look at the entry that was applied differently.
  const { at } = await run(bundle, { index: difference.index, lookAt: difference.index, followed })
  return { ...found, at }
}

function parseResource(text: string): Followed {
  const [table = '', ref = ''] = text.split('/')
  if (!(tableNames as readonly string[]).includes(table) || ref === '') throw new Error(`RESOURCE is TABLE/NAME or TABLE/ID, as vm/web; tables are ${tableNames.join(', ')}`)
  return { table: table as TableName, ref }
}

async function run(bundle: Bundle, wanted: { readonly index: number; readonly lookAt: number | null; readonly followed: Followed | null }): Promise<Replay> {
  const { index: until, lookAt, followed } = wanted
  const corrections = new Corrections(bundle)
  const { cluster, halts } = nodeOn(bundle, until)
  const hashes = new Map<number, string>([[bundle.base.index, bundle.base.hash]])
  const compared = { entries: 0, checkpoints: 0 }
  const history: Step[] = []
  let difference: Difference | null = null
  let [at, before, record]: [Step | null, Tables | null, unknown] = [null, null, null]
  const compare = (index: number, by: string, expected: string): void => {
    const hash = hashes.get(index) ?? expected
    if (hash !== expected && (difference === null || index < difference.index)) difference = { index, by, hash, expected }
  }
  cluster.watch((event) => {
    if (event.kind !== 'applied') return
    const { index } = event
    const entry = bundle.entries[index - bundle.base.index - 1] as BundleEntry
    const { state } = cluster
    hashes.set(index, corrections.complete(index, state.digest))
    const outcome = event.result === null ? 'changes nothing' : event.result.kind === 'done' ? 'done' : `refused: ${event.result.code} ${event.result.message}`
    if (before !== null && index === lookAt) at = { index, what: describe(entry), outcome, changes: differencesOf(before, copyOf(state)) }
    if (index + 1 === lookAt) before = copyOf(state)
    if (followed !== null) {
      const now = findRecord(state, followed)
      if (now !== record) history.push({ index, what: describe(entry), outcome, changes: compareValues(`${followed.table}/${followed.ref}`, record, now) })
      record = now
    }
    if (entry.hash !== undefined) {
      compared.entries += 1
      compare(index, 'the node itself', entry.hash)
    }
    if (entry.content.kind === 'checkpoint' && entry.content.checkpoint.digest === digestVersion && hashes.has(entry.content.checkpoint.index)) {
      compared.checkpoints += 1
      compare(entry.content.checkpoint.index, `the checkpoint at ${index}, of ${entry.content.checkpoint.nodeId}`, entry.content.checkpoint.hash)
    }
  })
  const disk = baseOf(bundle)
  record = followed === null ? null : findIn(disk, followed)
  if (lookAt === bundle.base.index + 1) before = disk
  await cluster.start({ bootstrap: false })
  await settled(cluster, until, halts)
  return { bundle, state: cluster.state, hash: hashes.get(until) ?? '', compared, difference, at, history }
}

/** A node that is in no configuration: it applies what is committed, and does nothing else. */
function nodeOn(bundle: Bundle, commit: number): { readonly cluster: Cluster; readonly halts: string[] } {
  const halts: string[] = []
  const random = new SimRandom(1)
  const clock = new SimClock(new EventQueue())
  const disk = diskOf(bundle, commit)
  const { transport } = new SimNetwork({ clock, random }).endpoint('replay', clock)
  const cluster = new Cluster(
    { nodeId: 'replay' as NodeId, compaction: { entriesMax: Number.MAX_SAFE_INTEGER, bytesMax: Number.MAX_SAFE_INTEGER }, onHalted: ({ reason }) => halts.push(reason) },
    { clock, random, transport, log: silentLog, logStore: new SimLogStore({ disk, clock }), stateStore: new SimStateStore({ disk, clock }) },
  )
  return { cluster, halts }
}

/** The simulated clock stands still: everything that is committed is applied in the turns of the event loop. */
async function settled(cluster: Cluster, until: number, halts: readonly string[]): Promise<void> {
  for (let idle = 0; cluster.state.index < until; idle += 1) {
    const before = cluster.state.index
    await new Promise((resolve) => setImmediate(resolve))
    if (cluster.state.index !== before) idle = 0
    if (halts.length > 0 || idle > 1000) throw new Error(`the replay stopped at index ${cluster.state.index}: ${halts[0] ?? 'nothing more was applied'}`)
  }
}

function copyOf(state: State): Tables {
  return new Map(tableNames.map((name) => [name, new Map<string, unknown>(state.tables[name])]))
}

function baseOf({ records }: Bundle): Tables {
  const tables = new Map<TableName, Map<string, unknown>>(tableNames.map((name) => [name, new Map()]))
  for (const { table, id, value } of records) tables.get(table as TableName)?.set(id, value)
  return tables
}

function findRecord(state: State, followed: Followed): unknown {
  return findIn(new Map([[followed.table, state.tables[followed.table]]]), followed)
}

function findIn(tables: Tables, { table, ref }: Followed): unknown {
  const records = tables.get(table)
  return records?.get(ref) ?? [...(records?.values() ?? [])].find((record) => (record as { readonly name?: string }).name === ref) ?? null
}

function differencesOf(before: Tables, after: Tables): readonly Change[] {
  const changes: Change[] = []
  for (const table of tableNames) {
    const [former, now] = [before.get(table), after.get(table)]
    for (const id of new Set([...(former?.keys() ?? []), ...(now?.keys() ?? [])])) {
      if (former?.get(id) !== now?.get(id)) changes.push(...compareValues(`${table}/${id}`, former?.get(id) ?? null, now?.get(id) ?? null))
    }
  }
  return changes
}

/** Field by field where both are there; whole where one is not. */
function compareValues(path: string, before: unknown, after: unknown): readonly Change[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject(before) || !isObject(after)) return [{ path, before: before ?? null, after: after ?? null }]
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) => compareValues(`${path}.${key}`, before[key], after[key]))
}

function describe({ term, timeMs, content }: BundleEntry): string {
  const when = timeMs === null ? '' : ` at ${new Date(timeMs).toISOString()}`
  if (content.kind !== 'command') return `${content.kind} of term ${term}${when}`
  const { type, actor, id } = commandOf(content.command)
  return `${type} by ${actor.kind} ${actor.name === '' ? actor.id : actor.name}${when}, term ${term}, command ${id}`
}

export function renderReplay(replay: Replay, options: ReplayOptions): string {
  const { bundle, compared, difference, at, history, state, hash } = replay
  const { head, base, status } = bundle
  const lines = [
    `bundle of ${head.node} (${head.nodeId}) in ${head.cluster}, made ${head.at} by version ${head.version}`,
    `base ${base.index}, ${bundle.entries.length} entries, the node was at ${status.applied} with hash ${status.hash}`,
    `replayed up to ${state.index}: hash ${hash}; compared with ${compared.entries} hashes of the node and ${compared.checkpoints} checkpoints`,
  ]
  for (const why of bundle.omitted) lines.push(`left out: ${why}`)
  if (bundle.mismatch !== null) lines.push(`the node itself came to another hash at ${bundle.mismatch.index} when it applied its log again: ${bundle.mismatch.again} instead of ${bundle.mismatch.hash}`)
  lines.push(difference === null ? 'nothing differs' : `THE FIRST INDEX THAT DIFFERS IS ${difference.index}: ${difference.hash} in this replay, ${difference.expected} by ${difference.by}`)
  if (at !== null) lines.push(...renderStep(at))
  if (options.resource !== undefined) {
    const followed = parseResource(options.resource)
    lines.push(`${options.resource} at ${state.index}:`, JSON.stringify(findRecord(state, followed), null, 2), `changed by ${history.length} entries:`)
    for (const step of history) lines.push(...renderStep(step))
  } else if (options.index !== undefined) {
    lines.push(`state at ${state.index}: ${tableNames.map((name) => `${name} ${state.tables[name].size}`).join(', ')}`)
  }
  return lines.join('\n')
}

function renderStep({ index, what, outcome, changes }: Step): readonly string[] {
  return [`entry ${index}: ${what}: ${outcome}`, ...changes.map(({ path, before, after }) => `  ${path}: ${JSON.stringify(before)} → ${JSON.stringify(after)}`)]
}

const silentLog: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => silentLog }

async function main(): Promise<number> {
  const { BUNDLE: path = '', INDEX: index = '', RESOURCE: resource = '' } = process.env
  if (path === '') {
    console.error('usage: make replay BUNDLE=FILE [INDEX=n] [RESOURCE=vm/NAME]')
    return 2
  }
  const options = { index: index === '' ? undefined : Number(index), resource: resource === '' ? undefined : resource }
  try {
    const replay = await replayBundle(path, options)
    console.log(renderReplay(replay, options))
    return replay.difference === null ? 0 : 1
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    return 2
  }
}

if (import.meta.main) process.exitCode = await main()
