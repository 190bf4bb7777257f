// Routes of migrations: begun on a VM, kept as a history.
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'
import { answerOperation } from './vms.ts'

const base = '/api/v1/migrations'
const json = ['application/json']

export const migrationRoutes: readonly CallerRoute[] = [
  {
    method: 'POST', path: '/api/v1/vms/{ref}/migrate', operationId: 'migrateVm', tag: 'VMs', credential: 'caller', right: 'operate project', query: writeParameters,
    summary: 'Move a VM to another node, live where it runs; without a node the planner chooses',
    body: { required: false, types: json, schema: schemas.vmMigrate },
    answers: { 202: { description: 'The operation; Location points to it; with Prefer: wait=N it has ended, or N seconds are over', schema: schemas.operation }, 200: { description: 'Dry run, with what speaks for and against each node', schema: schemas.dryRun } },
    errors: ['NOT_FOUND', 'INVALID', 'PRECONDITION_FAILED', 'STATE_CONFLICT', 'OPERATION_ACTIVE', 'REFERENCE_MISSING', 'NO_FIT'],
    handle: async (caller, { app, params, body, write }) => answerOperation(await app.vms.migrate(caller, params['ref']!, body, write)),
  },
  {
    method: 'GET', path: base, operationId: 'listMigrations', tag: 'Migrations', summary: 'List ended migrations, the latest first', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of migrations; filter by vm:, node: (either end), from:, to:, outcome:, actor:', schema: schemas.migrationList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.migrations.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getMigration', tag: 'Migrations', summary: 'Show an ended migration, by its operation\'s id or name', credential: 'caller', right: 'read project', query: readParameters,
    answers: { 200: { description: 'The migration', schema: schemas.migration } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.migrations.get(caller, params['ref']!)),
  },
  {
    method: 'POST', path: '/api/v1/nodes/{ref}/drain', operationId: 'drainNode', tag: 'Nodes', credential: 'caller', right: 'administer cluster', query: writeParameters,
    summary: 'Drain a node: it takes no new VMs, and those that are there move away',
    body: { required: false, types: json, schema: schemas.nodeDrain },
    answers: { 202: { description: 'The operation; it fails with NO_FIT where VMs stay, and says which and why', schema: schemas.operation }, 200: { description: 'Dry run, with where each VM would go', schema: schemas.dryRun } },
    errors: ['NOT_FOUND', 'INVALID', 'PRECONDITION_FAILED', 'OPERATION_ACTIVE'],
    handle: async (caller, { app, params, body, write }) => answerOperation(await app.nodes.drain(caller, params['ref']!, body, write)),
  },
  {
    method: 'POST', path: '/api/v1/nodes/{ref}/uncordon', operationId: 'uncordonNode', tag: 'Nodes', credential: 'caller', right: 'administer cluster', query: writeParameters,
    summary: 'Let a node take VMs again; a drain that runs is over',
    answers: { 200: { description: 'The node as it is now, or the difference of a dry run', schema: schemas.node } },
    errors: ['NOT_FOUND', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, write }) => {
      const node = await app.nodes.uncordon(caller, params['ref']!, write)
      return 'dryRun' in node ? { status: 200, body: node } : answerResource(200, node)
    },
  },
]
