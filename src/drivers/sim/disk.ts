// A simulated node's disk: what is durable, what is not yet, and the faults; it outlives the node's crashes.
import { OperationalError } from '../../model/error.ts'
import type { Clock, Random } from '../../ports/clock.ts'
import type { LogBatch } from '../../ports/log-store.ts'
import type { StateHead } from '../../ports/state-store.ts'
import type { Entry, HardState, SnapshotMeta } from '../../raft/types.ts'

/** Plain knobs, to be set at any time; they hold for writes that begin later. */
export type DiskFaults = {
  /** Milliseconds that a sync takes. */
  fsyncDelayMs: number
  /** No sync ends, well or badly, while it is set. */
  hung: boolean
  /** Syncs fail; the store that met one refuses everything until the node is restarted. */
  fsyncFails: boolean
  /** Writes find no space. */
  full: boolean
}

export type DurableLog = { hardState: HardState; base: SnapshotMeta; entries: Entry[]; bytes: number }
export type DurableState = { head: StateHead | null; readonly records: Map<string, string> }
export type DiskArea = 'log' | 'state' | 'local'
/** One atomic change of the state's tables. */
export type StateChange = (state: DurableState) => void

export class SimDisk {
  readonly faults: DiskFaults = { fsyncDelayMs: 0.2, hung: false, fsyncFails: false, full: false }
  readonly #random: Random
  /** Null until the first batch was written. */
  log: DurableLog | null = null
  /** Being written: a crash decides whether it got through. */
  logInFlight: LogBatch | null = null
  /** Set by `damage`: what the proof beside the log tells. */
  logDamage: string | null = null
  state: DurableState = { head: null, records: new Map() }
  /** Written but not synced, oldest first: a crash loses some of the newest. */
  stateUnsynced: StateChange[] = []
  readonly local = new Map<string, string>()
  localInFlight: (() => void) | null = null
  /** Who may write. Sessions that were replaced, or cut off by a crash, belong to a dead node: nothing of theirs has an effect or ever resolves. */
  readonly owners: Record<DiskArea, DiskSession | null> = { log: null, state: null, local: null }

  constructor(options: { readonly random: Random }) {
    this.#random = options.random
  }

  /** The power goes. What was being written is there whole or not at all (a torn tail is cut); unsynced state is lost from some point on. */
  crash(): void {
    this.#cutOff()
    this.settleLog()
    this.settleLocal()
    const kept = this.#random.integer(this.stateUnsynced.length + 1)
    for (const change of this.stateUnsynced.slice(0, kept)) change(this.state)
    this.stateUnsynced = []
  }

  /** The log loses or changes something acknowledged; its proof shows it, so that the next opening says `damaged`. Nothing to damage: no effect. */
  damage(): void {
    if (this.log === null) return
    const details = ['the records end before the proof', 'a checksum in the middle does not match', 'a segment is missing', 'neither slot of the proof is readable']
    this.logDamage = details[this.#random.integer(details.length)] ?? null
  }

  /** The disk is replaced by an empty one. The node has to be dead. */
  wipe(): void {
    this.#cutOff()
    this.log = null
    this.logInFlight = null
    this.logDamage = null
    this.state = { head: null, records: new Map() }
    this.stateUnsynced = []
    this.local.clear()
    this.localInFlight = null
  }

  /** The log is put aside, as an operator or the node itself does with a damaged one. */
  discardLog(): void {
    this.log = null
    this.logInFlight = null
    this.logDamage = null
  }

  /** Decides about a write that a dead node left under way. */
  settleLog(): void {
    if (this.logInFlight !== null && this.#random.integer(2) === 0) applyLogBatch(this, this.logInFlight)
    this.logInFlight = null
  }

  settleLocal(): void {
    if (this.localInFlight !== null && this.#random.integer(2) === 0) this.localInFlight()
    this.localInFlight = null
  }

  #cutOff(): void {
    this.owners.log = null
    this.owners.state = null
    this.owners.local = null
  }
}

/** How often a process that waits for a hung disk looks again. */
const hungPollMs = 20

/** Passes while a sync is under way. */
export async function syncTime(faults: DiskFaults, clock: Clock): Promise<void> {
  const pass = (durationMs: number): Promise<void> => new Promise((resolve) => void clock.after(durationMs, resolve))
  await pass(faults.fsyncDelayMs)
  while (faults.hung) await pass(hungPollMs)
}

/** A process's handle on the disk: waits for syncs on the node's clock, and stays silent for ever once the node is dead. */
export class DiskSession {
  readonly #disk: SimDisk
  readonly #clock: Clock
  readonly #area: DiskArea
  #failure: OperationalError | null = null

  /** From now on this session alone may write to its area. */
  constructor(options: { readonly disk: SimDisk; readonly clock: Clock; readonly area: DiskArea }) {
    this.#disk = options.disk
    this.#clock = options.clock
    this.#area = options.area
    options.disk.owners[options.area] = this
  }

  /** Before anything is written. @throws OperationalError STORAGE_FULL, or the error of an earlier failure. */
  async begin(): Promise<void> {
    await this.alive()
    if (this.#failure !== null) throw this.#failure
    if (this.#disk.faults.full) throw new OperationalError('STORAGE_FULL', 'The simulated disk is full; nothing was written.')
  }

  /** Nothing can be written through this session any more. */
  fail(error: OperationalError): OperationalError {
    this.#failure = error
    return error
  }

  /** Resolves once synced; `onDurable` runs in the same step. @throws OperationalError STORAGE_FAILED, and then for ever. */
  async sync(onDurable: () => void): Promise<void> {
    const { fsyncFails } = this.#disk.faults
    await syncTime(this.#disk.faults, this.#clock)
    await this.alive()
    if (fsyncFails) throw this.fail(new OperationalError('STORAGE_FAILED', 'A sync of the simulated disk failed; restart the node.'))
    onDurable()
  }

  /** A dead node's promises never settle. */
  async alive(): Promise<void> {
    if (this.#disk.owners[this.#area] !== this) await new Promise<never>(() => undefined)
  }
}

/** Bytes that an entry or a batch takes beside its data. */
const overheadBytes = 32

export function applyLogBatch(disk: SimDisk, batch: LogBatch): void {
  disk.log ??= { hardState: { term: 0, vote: null, commit: 0 }, base: emptyBase, entries: [], bytes: 0 }
  const { log } = disk
  if (batch.hardState !== null) log.hardState = batch.hardState
  if (batch.base !== null) {
    const { meta, discardSuffix } = batch.base
    log.base = meta
    log.entries = discardSuffix ? [] : log.entries.filter((entry) => entry.index > meta.index)
    log.bytes = log.entries.reduce((sum, entry) => sum + entry.data.length + overheadBytes, 0)
  }
  const firstIndex = batch.entries[0]?.index ?? Infinity
  while ((log.entries.at(-1)?.index ?? 0) >= firstIndex) log.bytes -= (log.entries.pop()?.data.length ?? 0) + overheadBytes
  for (const entry of batch.entries) {
    log.entries.push(entry)
    log.bytes += entry.data.length + overheadBytes
  }
}

const emptyBase: SnapshotMeta = {
  index: 0,
  term: 0,
  configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
}
