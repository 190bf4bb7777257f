// Routes of projects.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/projects'

export const projectRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listProjects', tag: 'Projects', summary: 'List projects', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of projects', schema: schemas.projectList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.projects.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'createProject', tag: 'Projects', summary: 'Create a project', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: true, types: ['application/json'], schema: schemas.projectCreate },
    answers: { 201: { description: 'The project', schema: schemas.project }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'NAME_TAKEN', 'LIMIT_REACHED'],
    handle: async (caller, { app, body, write }) => {
      const project = await app.projects.create(caller, body, write)
      return 'dryRun' in project ? { status: 200, body: project } : answerResource(201, project, `${base}/${project.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getProject', tag: 'Projects', summary: 'Show a project', credential: 'caller', right: 'read project', query: readParameters,
    answers: { 200: { description: 'The project', schema: schemas.project } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.projects.get(caller, params['ref']!)),
  },
  {
    method: 'PATCH', path: `${base}/{ref}`, operationId: 'patchProject', tag: 'Projects', summary: 'Rename a project, or change its labels and description', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: true, types: ['application/merge-patch+json', 'application/json'], schema: schemas.projectPatch },
    answers: { 200: { description: 'The project, or the difference of a dry run', schema: schemas.project } },
    errors: ['NOT_FOUND', 'INVALID', 'NAME_TAKEN', 'REVISION_STALE', 'PRECONDITION_FAILED', 'STATE_CONFLICT', 'LIMIT_REACHED'],
    handle: async (caller, { app, params, body, write }) => {
      const project = await app.projects.patch(caller, params['ref']!, body, write)
      return 'dryRun' in project ? { status: 200, body: project } : answerResource(200, project)
    },
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'deleteProject', tag: 'Projects', summary: 'Delete an empty project, and the roles in it', credential: 'caller', right: 'administer cluster', query: writeParameters,
    answers: { 204: { description: 'Deleted' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'IN_USE', 'STATE_CONFLICT', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.projects.delete(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]
