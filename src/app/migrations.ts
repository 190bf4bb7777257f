// Use cases of the history of migrations.
import { OperationalError } from '../model/error.ts'
import type { Migration, StoredMigration } from '../model/migration.ts'
import { may } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, ListQuery, Migrations, Page } from './face.ts'
import { listPage, type ListShape } from './list.ts'

const shape: ListShape<StoredMigration> = {
  id: (migration) => migration.id, name: (migration) => migration.vm.name, labels: () => ({}), sortDefault: '-ended',
  fields: {
    ended: (migration) => migration.endedMs,
    started: (migration) => migration.startedMs,
    vm: (migration) => migration.vm.name,
    vmId: (migration) => migration.vm.id,
    from: (migration) => migration.from.name,
    to: (migration) => migration.to.name,
    outcome: (migration) => migration.outcome,
    actor: (migration) => migration.actor,
    duration: (migration) => migration.endedMs - migration.startedMs,
    bytes: (migration) => migration.bytes ?? 0,
    downtime: (migration) => migration.downtimeMs ?? 0,
  },
  // Either end.
  terms: { node: (wanted) => ({ from, to }) => [from.name, from.id, to.name, to.id].includes(wanted) },
}

export class MigrationUseCases implements Migrations {
  readonly #context: AppContext

  constructor(context: AppContext) {
    this.#context = context
  }

  list(caller: Caller, query: ListQuery): Page<Migration> {
    const visible = [...this.#context.state.tables.migration.values()].filter((migration) => may(caller, 'read', migration.project))
    return listPage(visible, shape, query, present)
  }

  get(caller: Caller, ref: string): Migration {
    const table = this.#context.state.tables.migration
    const migration = table.get(ref) ?? [...table.values()].find((candidate) => candidate.name === ref)
    if (migration === undefined || !may(caller, 'read', migration.project)) throw new OperationalError('NOT_FOUND', `There is no migration ${ref.slice(0, 80)}.`)
    return present(migration)
  }
}

function present(migration: StoredMigration): Migration {
  const { id, name, project, revision, vm, from, to, live, startedMs, endedMs } = migration
  return {
    id, kind: 'migration', name, project, labels: {}, revision, generation: 1, spec: { vm, from, to, live },
    status: {
      outcome: migration.outcome, reason: migration.reason, actor: migration.actor, bytes: migration.bytes, downtimeMs: migration.downtimeMs,
      startedAt: isoTime(startedMs), endedAt: isoTime(endedMs), durationMs: endedMs - startedMs, operation: id,
    },
  }
}
