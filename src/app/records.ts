// Events and audit: what happened, listed and watched.
import type { AuditRecord, StoredAudit } from '../model/audit.ts'
import { OperationalError } from '../model/error.ts'
import { compareEventIds, type Event } from '../model/event.ts'
import type { Cancel } from '../ports/clock.ts'
import { authorize, may } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Records, Watcher } from './face.ts'
import { listPage, type ListShape } from './list.ts'

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
const auditShape: ListShape<StoredAudit> = {
  id: (record) => record.id, name: (record) => record.target, labels: () => ({}), sortDefault: '-id',
  fields: {
    id: (record) => Number(record.id), actor: (record) => record.actor.name, command: (record) => record.command,
    target: (record) => record.target, outcome: (record) => record.outcome, code: (record) => record.code, address: (record) => record.actor.address,
  },
}

export class RecordUseCases implements Records {
  readonly #context: AppContext

  constructor(context: AppContext) {
    this.#context = context
  }

  events(caller: Caller, query: ListQuery): Page<Event> {
    return listPage(this.#visible(caller), eventShape, query, (event) => event)
  }

  watch(caller: Caller, after: string | null, watcher: Watcher): Cancel {
    if (after !== null) this.#replay(caller, after, watcher)
    return this.#context.ports.consensus.watch((notice) => {
      if (notice.kind === 'replaced') watcher.reset()
      if (notice.kind === 'applied') for (const event of notice.events) if (sees(caller, event)) watcher.event(event)
    })
  }

  audit(caller: Caller, query: ListQuery): Page<AuditRecord> {
    authorize(caller, 'administer', '', 'the audit')
    return listPage(this.#context.state.tables.audit.values(), auditShape, query, presentAudit)
  }

  /** @throws EVENTS_GONE where something between `after` and the oldest kept event may be missing, or `after` is of another history */
  #replay(caller: Caller, after: string, watcher: Watcher): void {
    const { state } = this.#context
    const [oldest] = state.tables.event.keys()
    const [afterIndex = 0] = after.split('.').map(Number)
    const gone = !/^\d+\.\d+$/.test(after) || (oldest !== undefined && compareEventIds(after, oldest) < 0 && !this.#isWholeHistory(oldest)) || afterIndex > state.index
    if (gone) throw new OperationalError('EVENTS_GONE', `Events after ${after.slice(0, 40)} are not kept here. List anew and watch from there.`)
    for (const event of state.tables.event.values()) if (compareEventIds(event.id, after) > 0 && sees(caller, event)) watcher.event(event)
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

function presentAudit(record: StoredAudit): AuditRecord {
  return {
    id: record.id, at: isoTime(record.timeMs), actor: record.actor.name, actorKind: record.actor.kind, address: record.actor.address,
    command: record.command, target: record.target, outcome: record.outcome, code: record.code, detail: record.detail,
  }
}
