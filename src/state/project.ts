// Projects: made, renamed with all that is theirs, deleted when empty.
import type { CommandOf } from '../model/command.ts'
import { projectsMax, type StoredProject } from '../model/project.ts'
import { defaultProject } from '../model/resource.ts'
import { normalBindings, projectOfScope, scopeOfProject } from '../model/role.ts'
import type { Outcome } from './apply.ts'
import { changedLabels } from './labels.ts'
import { requireCurrent } from './revision.ts'
import { Refusal, type Transaction } from './transaction.ts'

/** What one rename may touch: more would hold up everything else for too long. */
const renamedMax = 10_000
/** Tables whose records belong to a project. */
const owned = ['vm', 'image', 'operation', 'migration'] as const

export function applyToProject(transaction: Transaction, command: CommandOf<'project.create' | 'project.update' | 'project.delete'>): Outcome {
  switch (command.type) {
    case 'project.create': {
      const { payload } = command
      requireFreeName(transaction, payload.name, payload.id)
      if (transaction.state.tables.project.size >= projectsMax) throw new Refusal('LIMIT_REACHED', `A cluster has at most ${projectsMax} projects.`)
      transaction.put('project', payload.id, { ...payload, kind: 'project', project: '', revision: transaction.index, generation: 1, createdMs: transaction.timeMs })
      say(transaction, payload, 'created', `Project ${payload.name} was made`)
      return { id: payload.id }
    }
    case 'project.update':
      return update(transaction, command.payload)
    case 'project.delete': {
      const project = transaction.require('project', command.payload.id)
      requireCurrent(project, command.payload)
      requireEmpty(transaction, project)
      transaction.delete('project', project.id)
      dropBindings(transaction, project.name)
      say(transaction, project, 'deleted', `Project ${project.name} was deleted`)
      return { id: project.id }
    }
  }
}

function update(transaction: Transaction, payload: CommandOf<'project.update'>['payload']): Outcome {
  const project = transaction.require('project', payload.id)
  requireCurrent(project, payload)
  const name = payload.name ?? project.name
  const spec = { description: payload.description ?? project.spec.description }
  if (name !== project.name) {
    requireFreeName(transaction, name, project.id)
    moveOwned(transaction, project.name, name)
    renameScopes(transaction, project.name, name)
  }
  transaction.put('project', project.id, {
    ...project, name, spec, labels: changedLabels(project.labels, payload), revision: transaction.index,
    generation: spec.description === project.spec.description ? project.generation : project.generation + 1,
  })
  say(transaction, { id: project.id, name }, 'updated', name === project.name ? `Project ${name} was changed` : `Project ${project.name} is ${name} now`)
  return { id: project.id }
}

/** @throws Refusal NAME_TAKEN; the project that needs no making has its name too */
function requireFreeName(transaction: Transaction, name: string, ownId: string): void {
  if (name === defaultProject) throw new Refusal('NAME_TAKEN', `Every cluster has the project ${defaultProject}.`, [{ path: 'name', message: 'is taken' }])
  transaction.requireFreeName('project', '', name, ownId)
}

function requireEmpty(transaction: Transaction, project: StoredProject): void {
  const { vm, image } = transaction.state.tables
  const vms = [...vm.values()].filter((each) => each.project === project.name)
  const images = [...image.values()].filter((each) => each.project === project.name)
  if (vms.length + images.length === 0) return
  const shown = [...vms.map((each) => `VM ${each.name}`).toSorted(), ...images.map((each) => `image ${each.name}`).toSorted()]
  const more = shown.length > 3 ? ` and ${shown.length - 3} more` : ''
  throw new Refusal('IN_USE', `Project ${project.name} is not empty: it has ${shown.slice(0, 3).join(', ')}${more}. Delete them first.`)
}

/** @throws Refusal LIMIT_REACHED */
function moveOwned(transaction: Transaction, former: string, next: string): void {
  let moved = 0
  for (const table of owned) {
    // In the order of ids: tables that are kept by age are put in order by revision and id when they are read anew.
    const records = [...transaction.state.tables[table].values()].filter((record) => record.project === former)
    for (const record of records.toSorted((left, right) => (left.id < right.id ? -1 : 1))) {
      if (++moved > renamedMax) throw new Refusal('LIMIT_REACHED', `Project ${former} holds more than ${renamedMax} things: it keeps its name.`)
      transaction.put(table, record.id, { ...record, project: next, revision: transaction.index } as never)
    }
  }
}

function renameScopes(transaction: Transaction, former: string, next: string): void {
  const renamed = (scope: string) => (projectOfScope(scope) === former ? scopeOfProject(next) : scope)
  changeBindings(transaction, former, (bindings) => bindings.map(({ role, scope }) => ({ role, scope: renamed(scope) })))
}

/** A project of the same name that is made later is another one: nobody has a role there yet. */
function dropBindings(transaction: Transaction, project: string): void {
  changeBindings(transaction, project, (bindings) => bindings.filter(({ scope }) => projectOfScope(scope) !== project))
}

type Bindings = ReturnType<typeof normalBindings>

function changeBindings(transaction: Transaction, project: string, change: (bindings: Bindings) => Bindings): void {
  const concerns = (bindings: Bindings) => bindings.some(({ scope }) => projectOfScope(scope) === project)
  for (const user of transaction.state.tables.user.values()) {
    if (!concerns(user.spec.bindings)) continue
    transaction.put('user', user.id, { ...user, spec: { ...user.spec, bindings: [...normalBindings(change(user.spec.bindings))] }, revision: transaction.index })
  }
  for (const token of transaction.state.tables.token.values()) {
    if (token.spec.bindings === undefined || !concerns(token.spec.bindings)) continue
    // A token that loses its last right keeps an empty list: without one it would have all its user's.
    transaction.put('token', token.id, { ...token, spec: { ...token.spec, bindings: [...normalBindings(change(token.spec.bindings))] }, revision: transaction.index })
  }
}

function say(transaction: Transaction, project: { readonly id: string; readonly name: string }, type: 'created' | 'updated' | 'deleted', message: string): void {
  transaction.event({ type, kind: 'project', resourceId: project.id, name: project.name, project: project.name, message, reason: `project.${type}` })
}
