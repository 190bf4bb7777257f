// Routes of virtual machines.
import type { Written } from '../../app/face.ts'
import type { Operation } from '../../model/operation.ts'
import { vmActions, type VmAction } from '../../model/vm.ts'
import { listParameters, listQueryOf, readParameters, writeParameters } from '../query.ts'
import { answerResource, type Answer, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/vms'
const json = ['application/json']
const updateErrors = ['NOT_FOUND', 'INVALID', 'REVISION_STALE', 'PRECONDITION_FAILED', 'REFERENCE_MISSING', 'NO_FIT', 'NAME_TAKEN', 'STATE_CONFLICT', 'OPERATION_ACTIVE'] as const
const summaries: Readonly<Record<VmAction, string>> = {
  start: 'Start a VM', stop: 'Stop a VM: by ACPI, then by force after a time-out', restart: 'Stop and start a VM', pause: 'Stop the VM\'s CPUs, keeping its memory',
  resume: 'Let a paused VM go on', reset: 'Reset a VM as by its button',
}

export const vmRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listVms', tag: 'VMs', summary: 'List VMs', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of VMs', schema: schemas.vmList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.vms.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'createVm', tag: 'VMs', summary: 'Create a VM', credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: true, types: json, schema: schemas.vmCreate },
    answers: { 201: { description: 'Created; with Prefer: wait=N it has reached its phase, or N seconds are over', schema: schemas.vm }, 200: { description: 'Dry run', schema: schemas.dryRun } },
    errors: ['INVALID', 'NAME_TAKEN', 'REFERENCE_MISSING', 'NO_FIT', 'LIMIT_REACHED'],
    handle: async (caller, { app, body, write }) => {
      const vm = await app.vms.create(caller, body, write)
      return 'dryRun' in vm ? { status: 200, body: vm } : answerResource(201, vm, `${base}/${vm.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getVm', tag: 'VMs', summary: 'Show a VM', credential: 'caller', right: 'read project', query: readParameters,
    answers: { 200: { description: 'The VM', schema: schemas.vm } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.vms.get(caller, params['ref']!)),
  },
  {
    method: 'GET', path: `${base}/{ref}/explain`, operationId: 'explainVm', tag: 'VMs', summary: 'Why a VM is as it is: cause, place, what it waits for, what to do', credential: 'caller', right: 'read project', query: readParameters,
    answers: { 200: { description: 'Reasons in sentences', schema: schemas.explanation } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => ({ status: 200, body: app.vms.explain(caller, params['ref']!) }),
  },
  {
    method: 'PUT', path: `${base}/{ref}`, operationId: 'replaceVm', tag: 'VMs', summary: 'Replace a VM\'s name, labels and spec', credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: true, types: json, schema: schemas.vmReplace },
    answers: { 200: { description: 'The VM as it is now, or the difference of a dry run', schema: schemas.vm } }, errors: updateErrors,
    handle: async (caller, { app, params, body, write }) => answerUpdated(await app.vms.replace(caller, params['ref']!, body, write)),
  },
  {
    method: 'PATCH', path: `${base}/{ref}`, operationId: 'patchVm', tag: 'VMs', summary: 'Change some of a VM\'s name, labels and spec', credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: true, types: ['application/merge-patch+json', 'application/json'], schema: schemas.vmPatch },
    answers: { 200: { description: 'The VM as it is now, or the difference of a dry run', schema: schemas.vm } }, errors: updateErrors,
    handle: async (caller, { app, params, body, write }) => answerUpdated(await app.vms.patch(caller, params['ref']!, body, write)),
  },
  {
    method: 'POST', path: `${base}/{ref}/recover`, operationId: 'recoverVm', tag: 'VMs', credential: 'caller', right: 'operate project', query: writeParameters,
    summary: 'Begin a VM anew on another node, after you made sure that its host is off: its disks start from their images',
    body: { required: true, types: json, schema: schemas.vmRecover },
    answers: { 200: { description: 'The VM as it is now, or the difference of a dry run', schema: schemas.vm } }, errors: ['NOT_FOUND', 'INVALID', 'PRECONDITION_FAILED', 'STATE_CONFLICT', 'REFERENCE_MISSING', 'NO_FIT'],
    handle: async (caller, { app, params, body, write }) => answerUpdated(await app.vms.recover(caller, params['ref']!, body, write)),
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'deleteVm', tag: 'VMs', summary: 'Delete a VM with its disks', credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: false, types: json, schema: schemas.vmDelete },
    answers: { 202: { description: 'The operation; Location points to it', schema: schemas.operation }, 200: { description: 'Dry run', schema: schemas.dryRun } },
    errors: ['NOT_FOUND', 'INVALID', 'PRECONDITION_FAILED', 'STATE_CONFLICT', 'OPERATION_ACTIVE'],
    handle: async (caller, { app, params, body, write }) => answerOperation(await app.vms.delete(caller, params['ref']!, body, write)),
  },
  ...vmActions.map((action): CallerRoute => ({
    method: 'POST', path: `${base}/{ref}/${action}`, operationId: `${action}Vm`, tag: 'VMs', summary: summaries[action], credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: false, types: json, schema: schemas.vmStop },
    answers: { 202: { description: 'The operation; Location points to it; with Prefer: wait=N it has ended, or N seconds are over', schema: schemas.operation }, 200: { description: 'Dry run', schema: schemas.dryRun } },
    errors: ['NOT_FOUND', 'INVALID', 'PRECONDITION_FAILED', 'STATE_CONFLICT', 'OPERATION_ACTIVE'],
    handle: async (caller, { app, params, body, write }) => answerOperation(await app.vms.act(caller, params['ref']!, action, body, write)),
  })),
]

function answerUpdated(written: Written<{ readonly id: string; readonly revision: number }>): Answer {
  return 'dryRun' in written ? { status: 200, body: written } : answerResource(200, written)
}

/** 202 even where the wait saw its end: what was asked for is the operation, and its state says how far it is. */
export function answerOperation(written: Written<Operation>): Answer {
  return 'dryRun' in written ? { status: 200, body: written } : answerResource(202, written, `/api/v1/operations/${written.id}`)
}
