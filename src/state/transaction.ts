// One command's view of the state: what it writes is seen by itself at once, and by the state only if the command is not refused.
import type { Actor } from '../model/user.ts'
import type { ErrorCode, FieldError } from '../model/error.ts'
import type { Event } from '../model/event.ts'
import type { StateWrite } from '../ports/state-store.ts'
import { nameKey, writeRecord, type State, type TableName, type Tables } from './state.ts'

/** Thrown by a handler: the command changes nothing and its outcome says why. */
export class Refusal extends Error {
  readonly code: ErrorCode
  readonly fields: readonly FieldError[]
  constructor(code: ErrorCode, message: string, fields: readonly FieldError[] = []) {
    super(message)
    this.code = code
    this.fields = fields
  }
}

export type EventDraft = Pick<Event, 'type' | 'kind' | 'resourceId' | 'name' | 'project' | 'message' | 'reason'> & { readonly actor?: string }

export class Transaction {
  readonly state: State
  readonly index: number
  /** State time of this command, milliseconds. */
  readonly timeMs: number
  readonly actor: Actor
  readonly commandId: string
  readonly #pending = new Map<string, { table: TableName; id: string; record: Tables[TableName] | null }>()
  readonly #events: EventDraft[] = []

  constructor(state: State, options: { index: number; timeMs: number; actor: Actor; commandId: string }) {
    this.state = state
    this.index = options.index
    this.timeMs = options.timeMs
    this.actor = options.actor
    this.commandId = options.commandId
  }

  get<Name extends TableName>(table: Name, id: string): Tables[Name] | undefined {
    const pending = this.#pending.get(`${table}/${id}`)
    if (pending !== undefined) return (pending.record ?? undefined) as Tables[Name] | undefined
    return this.state.tables[table].get(id)
  }

  /** @throws Refusal NOT_FOUND */
  require<Name extends TableName>(table: Name, id: string): Tables[Name] {
    const record = this.get(table, id)
    if (record === undefined) throw new Refusal('NOT_FOUND', `There is no ${table} ${id}.`)
    return record
  }

  put<Name extends TableName>(table: Name, id: string, record: Tables[Name]): void {
    this.#pending.set(`${table}/${id}`, { table, id, record })
  }

  delete(table: TableName, id: string): void {
    this.#pending.set(`${table}/${id}`, { table, id, record: null })
  }

  /** @throws Refusal NAME_TAKEN where another resource of the kind and project has the name. */
  requireFreeName(kind: string, project: string, name: string, ownId: string): void {
    const holder = this.state.names.get(nameKey(kind, project, name))
    if (holder === undefined || holder === ownId) return
    const where = project === '' ? '' : ` in project ${project}`
    throw new Refusal('NAME_TAKEN', `${name} is taken${where}. ${this.#freeName(kind, project, name)} is free.`, [{ path: 'name', message: 'is taken' }])
  }

  #freeName(kind: string, project: string, name: string): string {
    const stem = name.replace(/-\d+$/, '').slice(0, 58)
    for (let number = 2; ; number++) {
      if (!this.state.names.has(nameKey(kind, project, `${stem}-${number}`))) return `${stem}-${number}`
    }
  }

  event(draft: EventDraft): void {
    this.#events.push(draft)
  }

  /** What commit would write. */
  pending(): readonly { readonly table: TableName; readonly id: string; readonly before: unknown; readonly after: unknown }[] {
    return [...this.#pending.values()].map(({ table, id, record }) => ({ table, id, before: this.state.tables[table].get(id) ?? null, after: record }))
  }

  /** Writes everything into the state and returns what was written and said. */
  commit(): { readonly writes: readonly StateWrite[]; readonly events: readonly Event[] } {
    const at = new Date(this.timeMs).toISOString()
    const events = this.#events.map((draft, ordinal): Event => {
      return { id: `${this.index}.${ordinal}`, at, commandId: this.commandId, actor: draft.actor ?? this.actor.name, ...draft }
    })
    for (const event of events) this.put('event', event.id, event)
    const writes: StateWrite[] = []
    for (const { table, id, record } of this.#pending.values()) {
      writeRecord(this.state, table, id, record)
      writes.push({ table, id, value: record })
    }
    return { writes, events }
  }
}
