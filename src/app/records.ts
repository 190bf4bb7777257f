// Events and audit: what happened, listed and watched.
import type { AuditRecord, StoredAudit } from '../model/audit.ts'
import { OperationalError } from '../model/error.ts'
import { compareEventIds, type Event } from '../model/event.ts'
import type { Cancel } from '../ports/clock.ts'
import type { State } from '../state/state.ts'
import { authorize, may } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Records, Watcher } from './face.ts'
import { compileFilter, limitMax, listPage, type ListShape } from './list.ts'

/** Sortable form of `index.ordinal`. */
function eventOrder(id: string): number {
  const [index = 0, ordinal = 0] = id.split('.').map(Number)
  return index * 4096 + ordinal
}

const eventShape: ListShape<Event> = {
  id: (event) => event.id, name: (event) => event.name, labels: () => ({}), sortDefault: '-id',
  fields: {
    id: (event) => eventOrder(event.id), kind: (event) => event.kind, type: (event) => event.type, name: (event) => event.name,
    resource: (event) => event.resourceId, actor: (event) => event.actor, reason: (event) => event.reason, project: (event) => event.project,
  },
}
/** A record of the log or, with a node, a note of what never came there. */
type AuditEntry = StoredAudit & { readonly index: number; readonly nodeId: string | null }

const auditShape = (nowMs: number): ListShape<AuditEntry> => ({
  id: (record) => record.id, name: (record) => `${record.target} ${record.command} ${record.actor.name}`, labels: () => ({}), sortDefault: '-at',
  fields: {
    at: (record) => record.timeMs, id: (record) => record.index, actor: (record) => record.actor.name, command: (record) => record.command, kind: (record) => record.actor.kind,
    noun: (record) => record.command.split('.')[0] ?? '', target: (record) => record.target, outcome: (record) => record.outcome, code: (record) => record.code, address: (record) => record.actor.address,
  },
  terms: {
    since: (wanted) => {
      const fromMs = timeOf('since', wanted, nowMs)
      return (record) => record.timeMs >= fromMs
    },
    until: (wanted) => {
      const untilMs = timeOf('until', wanted, nowMs)
      return (record) => record.timeMs <= untilMs
    },
  },
})

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `24h`, `90m`, `7d` ago, or a time as 2026-11-20 or 2026-11-20T10:00:00Z. @throws INVALID */
function timeOf(term: string, wanted: string, nowMs: number): number {
  const ago = /^(\d{1,6})([mhd])$/.exec(wanted)
  if (ago !== null) return nowMs - Number(ago[1]) * unitsMs[ago[2]!]!
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(wanted) ? Date.parse(wanted) : Number.NaN
  if (!Number.isNaN(timeMs)) return timeMs
  throw new OperationalError('INVALID', `${term} takes 90m, 24h, 7d or a time as 2026-11-20T10:00:00Z.`, { data: { fields: [{ path: 'filter', message: `${term} is no time` }] } })
}

export class RecordUseCases implements Records {
  readonly #context: AppContext

  constructor(context: AppContext) {
    this.#context = context
  }

  events(caller: Caller, query: ListQuery): Page<Event> {
    return listPage(this.#visible(caller), eventShape, query, (event) => event)
  }

  watch(caller: Caller, after: string | null, watcher: Watcher, filter: string | null = null): Cancel {
    const passes = compileFilter(eventShape, filter)
    const tell = (event: Event) => {
      if (sees(caller, event) && passes(event)) watcher.event(event)
    }
    if (after !== null) this.#replay(after, tell)
    return this.#context.ports.consensus.watch((notice) => {
      if (notice.kind === 'replaced') watcher.reset()
      if (notice.kind === 'applied') notice.events.forEach(tell)
    })
  }

  audit(caller: Caller, query: ListQuery): Page<AuditRecord> {
    authorize(caller, 'administer', '', 'the audit')
    return listPage(this.#auditEntries(), auditShape(this.#context.ports.clock.nowMs()), query, (entry) => this.#presentAudit(entry))
  }

  *exportAudit(caller: Caller, { sort, filter }: Pick<ListQuery, 'sort' | 'filter'>): Iterable<AuditRecord> {
    for (let after: string | null = null; ; ) {
      const page: Page<AuditRecord> = this.audit(caller, { limit: limitMax, after, sort, filter })
      yield* page.items
      if (page.next === null) return
      after = page.next
    }
  }

  *#auditEntries(): Iterable<AuditEntry> {
    for (const record of this.#context.state.tables.audit.values()) yield { ...record, index: Number(record.id), nodeId: null }
    for (const note of this.#context.sightings.notes()) yield { ...note, kind: 'audit', outcome: note.code === '' ? 'done' : 'refused' }
  }

  #presentAudit(entry: AuditEntry): AuditRecord {
    return {
      id: entry.id, at: isoTime(entry.timeMs), actor: entry.actor.name, actorKind: entry.actor.kind, address: entry.actor.address,
      command: entry.command, target: entry.target, outcome: entry.outcome, node: this.#context.nodeName(entry.nodeId) ?? '', code: entry.code, detail: entry.detail,
    }
  }

  /** @throws EVENTS_GONE where something between `after` and the oldest kept event may be missing, or `after` is of another history */
  #replay(after: string, tell: (event: Event) => void): void {
    const { state } = this.#context
    const [oldest] = state.tables.event.keys()
    const [afterIndex = 0] = after.split('.').map(Number)
    const gone = !/^\d+\.\d+$/.test(after) || (oldest !== undefined && compareEventIds(after, oldest) < 0 && !this.#isWholeHistory(oldest)) || afterIndex > state.index || wasPassedOver(state, afterIndex)
    if (gone) throw new OperationalError('EVENTS_GONE', `Events after ${after.slice(0, 40)} are not kept here. List anew and watch from there.`)
    for (const event of state.tables.event.values()) if (compareEventIds(event.id, after) > 0) tell(event)
  }

  /** Nothing was dropped yet: the oldest kept event is that of the cluster's forming. */
  #isWholeHistory(oldest: string): boolean {
    return this.#context.state.tables.event.get(oldest)?.reason === 'cluster.formed'
  }

  *#visible(caller: Caller): Iterable<Event> {
    for (const event of this.#context.state.tables.event.values()) if (sees(caller, event)) yield event
  }
}

const administrative: ReadonlySet<string> = new Set(['user', 'token', 'joinToken'])

function sees(caller: Caller, event: Event): boolean {
  return administrative.has(event.kind) ? may(caller, 'administer', '') : may(caller, 'read', event.project)
}

/** Given by the former cluster, after all that went into this one: of another history. */
function wasPassedOver(state: State, index: number): boolean {
  const jump = state.tables.cluster.get('cluster')?.jump
  return jump !== undefined && index > jump.fromIndex && index < jump.toIndex
}
