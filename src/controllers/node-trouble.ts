// Says in the cluster's events what ailed this node's part in consensus, and when it was over: as soon as a leader can be reached.
import { makeCommand } from '../model/command.ts'
import { uuidV7, type NodeId } from '../model/id.ts'
import { clauseOf } from '../model/sentence.ts'
import { flappingNote, isDue, tellAt, type Told } from '../model/told.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus, ConsensusTrouble } from '../ports/consensus.ts'
import type { Log } from '../ports/log.ts'
import { mayPropose } from '../state/query.ts'
import type { StateHolder } from '../state/state.ts'

const retryMs = 1_000
/** Words waiting for a leader; of a disk that comes and goes the oldest are forgotten. */
const waitingMax = 16

type Word = { readonly type: ConsensusTrouble['type']; readonly isOver: boolean; readonly message: string }
export type NodeTroublePorts = { readonly clock: Clock; readonly random: Random; readonly log: Log; readonly consensus: Consensus & StateHolder }

export class NodeTroubleController {
  readonly #nodeId: NodeId
  readonly #ports: NodeTroublePorts
  /** What was told and is not over yet, or waits to be told. */
  #present = new Map<Word['type'], ConsensusTrouble>()
  /** When each began last: telling is a write, which on a slow disk is the next trouble. */
  readonly #told = new Map<Word['type'], Told>()
  #waiting: Word[] = []
  #busy = false
  #unwatch: Cancel | null = null
  #cancel: Cancel | null = null

  constructor(options: { readonly nodeId: NodeId }, ports: NodeTroublePorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  start(): void {
    const { consensus, clock } = this.#ports
    this.#look(consensus.status().troubles)
    this.#unwatch = consensus.watch((notice) => {
      if (notice.kind === 'status') this.#look(consensus.status().troubles)
    })
    this.#cancel = clock.every(retryMs, () => {
      this.#look(consensus.status().troubles)
      void this.#say()
    })
  }

  stop(): void {
    this.#unwatch?.()
    this.#cancel?.()
  }

  /** What comes and goes is told at growing pauses: what began and ended in between is left out. */
  #look(troubles: readonly ConsensusTrouble[]): void {
    const nowMs = this.#ports.clock.monotonicMs()
    const over = [...this.#present.values()].filter(({ type }) => !troubles.some((trouble) => trouble.type === type))
    const begun = troubles.filter(({ type }) => !this.#present.has(type) && isDue(this.#told.get(type), nowMs))
    for (const { type, message } of over) {
      this.#present.delete(type)
      this.#queue({ type, isOver: true, message })
    }
    for (const trouble of begun) {
      const told = tellAt(this.#told.get(trouble.type), nowMs)
      this.#told.set(trouble.type, told)
      this.#present.set(trouble.type, trouble)
      const note = flappingNote(told)
      this.#queue({ type: trouble.type, isOver: false, message: note === '' ? trouble.message : `${clauseOf(trouble.message)}${note}` })
    }
  }

  #queue(word: Word): void {
    this.#waiting = [...this.#waiting, word].slice(-waitingMax)
  }

  /** One after the other, each until it is said; after an unknown outcome perhaps twice. */
  async #say(): Promise<void> {
    const { consensus, clock, random, log } = this.#ports
    const node = consensus.state.tables.node.get(this.#nodeId)
    if (this.#busy || node === undefined || !mayPropose(consensus.state, 'node.trouble')) return
    this.#busy = true
    try {
      for (let word = this.#waiting[0]; word !== undefined; word = this.#waiting[0]) {
        const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: node.name, address: '' } }
        await consensus.propose(makeCommand('node.trouble', head, { id: this.#nodeId, trouble: word.type, isOver: word.isOver, message: word.message }), {})
        this.#waiting = this.#waiting.filter((each) => each !== word)
      }
    } catch (error) {
      log.debug('what ails this node could not be told yet', { error: String(error) })
    } finally {
      this.#busy = false
    }
  }
}
