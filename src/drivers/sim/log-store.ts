// The simulated Raft log: the contract of LogStore on a SimDisk, with slow, failing and full disks, crashes and damage.
import { OperationalError } from '../../model/error.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogBatch, LogBeginning, LogRecovery, LogStore } from '../../ports/log-store.ts'
import type { HardState } from '../../raft/types.ts'
import { applyLogBatch, DiskSession, type SimDisk } from './disk.ts'

export class SimLogStore implements LogStore {
  readonly #disk: SimDisk
  readonly #session: DiskSession
  #phase: 'closed' | 'open' | 'damaged' = 'closed'
  #busy = false

  constructor(options: { readonly disk: SimDisk; readonly clock: Clock }) {
    this.#disk = options.disk
    this.#session = new DiskSession({ ...options, area: 'log' })
  }

  async open(): Promise<LogRecovery> {
    if (this.#phase !== 'closed') throw new Error('the log is open already')
    // Left by a process that died while the machine went on.
    this.#disk.settleLog()
    this.#phase = this.#disk.logDamage === null ? 'open' : 'damaged'
    if (this.#disk.logDamage !== null) return { kind: 'damaged', detail: this.#disk.logDamage }
    const { log } = this.#disk
    if (log === null) return { kind: 'fresh' }
    return { kind: 'intact', hardState: log.hardState, base: log.base, entries: [...log.entries] }
  }

  async write(batch: LogBatch): Promise<void> {
    await this.#session.alive()
    if (this.#phase === 'closed') throw new Error('the log is not open')
    if (this.#phase === 'damaged') throw new OperationalError('LOG_DAMAGED', 'The simulated Raft log is damaged and is not written to.')
    if (this.#busy) throw new Error('calls to the log are made one after the other')
    this.#assertContinues(batch)
    if (batch.hardState === null && batch.base === null && batch.entries.length === 0) return
    this.#busy = true
    try {
      await this.#session.begin()
      this.#disk.logInFlight = batch
      await this.#session.sync(() => {
        this.#disk.logInFlight = null
        applyLogBatch(this.#disk, batch)
      })
    } finally {
      this.#busy = false
    }
  }

  async renew({ hardState, base }: LogBeginning): Promise<HardState> {
    await this.#session.alive()
    if (this.#phase === 'closed') throw new Error('the log is not open')
    const { log } = this.#disk
    // What nobody votes twice by: the real one has it from the local store.
    const former = log?.hardState ?? hardState
    const kept = former.term > hardState.term ? { ...hardState, term: former.term, vote: former.vote } : former.term === hardState.term ? { ...hardState, vote: former.vote ?? hardState.vote } : hardState
    await this.#session.begin()
    // In one step, for want of a local store that remembers the vote in between.
    await this.#session.sync(() => {
      this.#disk.discardLog()
      applyLogBatch(this.#disk, { hardState: kept, entries: [], base: base === null ? null : { meta: base, discardSuffix: true } })
    })
    this.#phase = 'open'
    return kept
  }

  /** Here every failure is met by the call that caused it. */
  watchFailure(): void {}

  async close(): Promise<void> {
    this.#phase = 'closed'
  }

  sizeBytes(): number {
    return this.#disk.log?.bytes ?? 0
  }

  #assertContinues(batch: LogBatch): void {
    const { log } = this.#disk
    const formerBase = log?.base.index ?? 0
    const base = batch.base?.meta.index ?? formerBase
    if (base < formerBase) throw new Error(`the base moves back from ${formerBase} to ${base}`)
    const last = batch.base?.discardSuffix === true ? base : Math.max(log?.entries.at(-1)?.index ?? 0, base)
    const first = batch.entries[0]
    if (first === undefined) return
    if (first.index <= base || first.index > last + 1) throw new Error(`entry ${first.index} does not follow base ${base} and last index ${last}`)
    if (batch.entries.some((entry, offset) => entry.index !== first.index + offset)) throw new Error('the entries are not contiguous')
  }
}
