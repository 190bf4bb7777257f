// Puts a support bundle together, line by line: the node's past and present without its secrets, such that the past can be applied anew.
import { featureLevel } from '../model/feature-level.ts'
import { bundleBytesMax, bundleEntriesMax, bundleFormat, type BundleLine } from '../model/support-bundle.ts'
import type { HistoryEntry, StateHistory } from '../ports/consensus.ts'
import type { StateWrite } from '../ports/state-store.ts'
import { applyCommand, applyEmpty } from '../state/apply.ts'
import { addDigest, digestText, digestVersion, emptyDigest, subtractDigest, type Digest } from '../state/canonical.ts'
import { Redactor } from '../state/redaction.ts'
import { importInParts, recordDigest, stateHash, type State, type TableName } from '../state/state.ts'
import { OperationalError } from '../model/error.ts'
import type { Actor } from '../model/user.ts'
import { authorize, rootOnHost } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, SupportBundle } from './face.ts'
import { appMetrics } from './metrics.ts'

/** What only the host's own process knows: its configuration and runtime, and the last lines of its log. */
export type HostFacts = () => { readonly facts: Readonly<Record<string, unknown>>; readonly log: readonly string[] }

/** Lines made, or records looked at, before the event loop gets its turn. */
const stepsTogether = 100
const turnMs = 100

export class SupportBundles {
  readonly #context: AppContext
  #isMaking = false

  constructor(context: AppContext) {
    this.#context = context
  }

  /** @param caller null for root on the host. @throws FORBIDDEN; OVERLOADED while one is being made: each holds a copy of the state */
  take(caller: Caller | null): SupportBundle {
    if (caller !== null) authorize(caller, 'administer', '', 'the support bundle')
    if (this.#isMaking) throw new OperationalError('OVERLOADED', 'A support bundle of this node is being made already. Take that one, or ask again when it is done.', { data: { retryAfterSeconds: 10 } })
    this.#record(caller?.actor ?? { kind: 'system', id: this.#context.nodeId, name: `root of ${this.#context.nodeName(this.#context.nodeId) ?? 'this node'}`, address: '' })
    return this.#make(this.#lines())
  }

  /** By the node itself, which has to have it whatever else goes on, also beside one that somebody reads slowly. */
  evidence(): SupportBundle {
    this.#context.ports.log.info('support bundle made as evidence')
    return this.#make(pacedLines(this.#context))
  }

  /** In the audit as nodes tell it each other: that needs no quorum, which may be what is amiss. */
  #record({ kind, id, name, address }: Actor): void {
    const context = this.#context
    const { log, clock } = context.ports
    const node = context.nodeName(context.nodeId) ?? ''
    log.info('support bundle taken', { by: name, actorKind: kind, actorId: id, address })
    context.sightings.note({ id: context.newId(), index: context.state.index, timeMs: clock.nowMs(), actor: { kind, id, name, address }, command: 'node.supportBundle', target: node, code: '', detail: '' })
  }

  #make(lines: SupportBundle['lines']): SupportBundle {
    return { node: this.#context.nodeName(this.#context.nodeId) ?? 'node', nowMs: this.#context.ports.clock.nowMs(), lines }
  }

  /** It counts from its first line on: what nobody begins to read keeps nobody waiting. */
  async *#lines(): AsyncGenerator<BundleLine, void> {
    const { clock } = this.#context.ports
    while (this.#isMaking) await new Promise<void>((resolve) => clock.after(turnMs, resolve))
    this.#isMaking = true
    try {
      yield* pacedLines(this.#context)
    } finally {
      this.#isMaking = false
    }
  }
}

async function* pacedLines(context: AppContext): AsyncGenerator<BundleLine, void> {
  const { clock } = context.ports
  let bytes = 0
  let made = 0
  for (const line of linesOf(context)) {
    if (line !== null) {
      bytes += Buffer.byteLength(JSON.stringify(line)) + 1
      if (bytes > bundleBytesMax) {
        yield { kind: 'omitted', what: line.kind, why: `The bundle would have over ${bundleBytesMax / 2 ** 20} MiB: this and all that follows is left out.` }
        return
      }
      yield line
      made += 1
    }
    if (line === null || made % stepsTogether === 0) await new Promise<void>((resolve) => clock.after(0, resolve))
  }
}

/** What is small and always wanted comes first. Null where others may have their turn. */
function* linesOf(context: AppContext): Generator<BundleLine | null, void> {
  const { consensus, clock, hostFacts } = context.ports
  const redactor = new Redactor()
  const { state } = context
  yield {
    kind: 'bundle', format: bundleFormat, at: isoTime(clock.nowMs()), node: context.nodeName(context.nodeId) ?? '', nodeId: context.nodeId,
    cluster: state.tables.cluster.get('cluster')?.name ?? '', version: context.version, featureLevel, digest: digestVersion, secrets: 'taken out: equal secrets have equal placeholders',
  }
  const { facts, log } = hostFacts?.() ?? { facts: {}, log: [] }
  yield { kind: 'host', facts: redactor.redact(facts) }
  const applied = { index: state.index, hash: stateHash(state) }
  yield { kind: 'status', applied: applied.index, hash: applied.hash, consensus: { ...consensus.status(), agreement: consensus.agreement() } }
  for (const { name, labels = {}, value } of appMetrics(context, rootOnHost('this node'), 'node')) yield { kind: 'metric', name, labels, value: Number.isFinite(value) ? value : null }
  for (const line of log) yield { kind: 'log', line }
  yield* pastOf(consensus.history(bundleEntriesMax), redactor)
}

function* pastOf(history: StateHistory, redactor: Redactor): Generator<BundleLine | null, void> {
  const { base } = history
  const correction = new Correction(redactor)
  for (const [at, record] of base.records.entries()) {
    correction.take(record)
    if (at % stepsTogether === 0) yield null
  }
  const { index, term, timeMs, hash } = base.head
  yield { kind: 'base', index, term, timeMs, hash, correction: digestText(correction.total), configuration: plainConfiguration(base.configuration), records: base.records.length }
  for (const { table, id, value } of base.records) yield { kind: 'record', table, id, value: redactor.redact(value) }
  if (history.entries.length === 0) return
  // Applied once more, to learn which secrets came into the state where: the commands alone do not tell.
  const parts = importInParts(base, stepsTogether)
  let part = parts.next()
  for (; part.done !== true; part = parts.next()) yield null
  const again = part.value
  let isSame = true
  for (const entry of history.entries) {
    const before = digestText(correction.total)
    for (const write of applyAgain(again, entry)) correction.take(write)
    const after = digestText(correction.total)
    yield {
      kind: 'entry', index: entry.index, term: entry.term, timeMs: entry.timeMs, content: redactor.redact(entry.content),
      ...(entry.hash === null ? {} : { hash: entry.hash }), ...(after === before ? {} : { correction: after }),
    }
    if (!isSame || entry.hash === null || entry.hash === stateHash(again)) continue
    isSame = false
    yield { kind: 'mismatch', index: entry.index, hash: entry.hash, again: stateHash(again) }
  }
}

function applyAgain(state: State, { index, term, timeMs, content }: HistoryEntry): readonly StateWrite[] {
  if (content.kind === 'command') return applyCommand(state, { index, term, timeMs: timeMs ?? 0, command: content.command }).writes
  applyEmpty(state, { index, term, timeMs: timeMs ?? 0 })
  return []
}

/** The part of the hash that the secrets make up. */
class Correction {
  readonly #redactor: Redactor
  readonly #parts = new Map<string, Digest>()
  total: Digest = emptyDigest

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  take({ table, id, value }: StateWrite): void {
    const key = `${table}/${id}`
    this.total = subtractDigest(this.total, this.#parts.get(key) ?? emptyDigest)
    this.#parts.delete(key)
    const redacted = this.#redactor.redact(value)
    if (redacted === value) return
    const part = subtractDigest(recordDigest(table as TableName, id, value), recordDigest(table as TableName, id, redacted))
    this.#parts.set(key, part)
    this.total = addDigest(this.total, part)
  }
}

function plainConfiguration({ voters, votersOutgoing, learners, learnersNext, autoLeave }: StateHistory['base']['configuration']): Extract<BundleLine, { kind: 'base' }>['configuration'] {
  return { voters: [...voters], votersOutgoing: [...votersOutgoing], learners: [...learners], learnersNext: [...learnersNext], autoLeave }
}
