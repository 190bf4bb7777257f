// Use cases of projects. The project default is there in every cluster, and stays.
import { OperationalError } from '../model/error.ts'
import type { ProjectId } from '../model/id.ts'
import { defaultProjectId, projectCreateSchema, projectPatchSchema, type Project, type StoredProject } from '../model/project.ts'
import { defaultProject } from '../model/resource.ts'
import { findByRef } from '../state/query.ts'
import { authorize, may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, ListQuery, Page, Projects, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentProject } from './present-people.ts'
import { dryRun, findEarlier, labelChange, propose } from './write.ts'

const shape: ListShape<StoredProject> = {
  id: (project) => project.id, name: (project) => project.name, labels: (project) => project.labels, sortDefault: 'name',
  fields: { name: (project) => project.name, created: (project) => project.createdMs },
}

export class ProjectUseCases implements Projects {
  readonly #context: AppContext

  constructor(context: AppContext) {
    this.#context = context
  }

  list(caller: Caller, query: ListQuery): Page<Project> {
    return listPage(this.#all().filter((project) => may(caller, 'read', project.name)), shape, query, (project) => presentProject(this.#context, caller, project))
  }

  get(caller: Caller, ref: string): Project {
    return presentProject(this.#context, caller, this.#find(caller, ref))
  }

  async create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Project>> {
    authorize(caller, 'administer', '', 'projects')
    const input = parseInput(projectCreateSchema, body)
    const payload = { id: this.#context.newId() as ProjectId, name: input.name, labels: input.labels ?? {}, spec: input.spec }
    if (options.dryRun) return dryRun(this.#context, caller, 'project.create', payload, 'project')
    const done = await propose(this.#context, caller.actor, 'project.create', payload, options)
    return this.get(caller, done.id)
  }

  async patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Project>> {
    const earlier = findEarlier(this.#context, caller, options)
    if (earlier !== null) return this.get(caller, earlier.id)
    authorize(caller, 'administer', '', 'projects')
    const project = this.#changeable(caller, ref)
    const input = parseInput(projectPatchSchema, body)
    const payload = {
      id: project.id as ProjectId,
      ...(input.name === undefined ? {} : { name: input.name }),
      ...labelChange(this.#context, project.labels, input.labels),
      ...(input.spec?.description === undefined ? {} : { description: input.spec.description }),
      ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }),
      ...(input.revision === undefined ? {} : { revision: input.revision }),
    }
    if (options.dryRun) return dryRun(this.#context, caller, 'project.update', payload, 'project')
    await propose(this.#context, caller.actor, 'project.update', payload, options)
    return this.get(caller, project.id)
  }

  async delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    authorize(caller, 'administer', '', 'projects')
    const payload = { id: this.#changeable(caller, ref).id as ProjectId, ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }) }
    if (options.dryRun) return dryRun(this.#context, caller, 'project.delete', payload, 'project')
    await propose(this.#context, caller.actor, 'project.delete', payload, options)
    return null
  }

  #all(): readonly StoredProject[] {
    const builtIn: StoredProject = {
      id: defaultProjectId, kind: 'project', name: defaultProject, project: '', labels: {}, revision: 0, generation: 1,
      spec: { description: 'What belongs to no other project; its images are the library of all' }, createdMs: this.#context.state.tables.cluster.get('cluster')?.createdMs ?? 0,
    }
    return [builtIn, ...this.#context.state.tables.project.values()]
  }

  #find(caller: Caller, ref: string): StoredProject {
    const project = ref === defaultProject || ref === defaultProjectId ? this.#all()[0] : findByRef(this.#context.state, 'project', ref, '')
    if (project === undefined || !may(caller, 'read', project.name)) throw new OperationalError('NOT_FOUND', `There is no project ${ref.slice(0, 80)}.`)
    return project
  }

  #changeable(caller: Caller, ref: string): StoredProject {
    const project = this.#find(caller, ref)
    if (project.id === defaultProjectId) throw new OperationalError('STATE_CONFLICT', `Every cluster has the project ${defaultProject}: it keeps its name and stays.`)
    return project
  }
}
