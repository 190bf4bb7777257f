// Where a VM of a dead host begins anew: only where nothing is heard of that host, and an operator has said that it is off.
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import type { StoredVm } from '../model/vm.ts'
import type { AppContext } from './context.ts'
import { findPlace } from './placement.ts'

/** @throws STATE_CONFLICT where its host is in touch; REFERENCE_MISSING, NO_FIT */
export function planRecovery(context: AppContext, vm: StoredVm, wished: string | undefined): { readonly nodeId: NodeId; readonly formerNodeId: NodeId | null } {
  const formerNodeId = vm.assignment?.nodeId ?? null
  if (formerNodeId !== null && context.unreadiness(formerNodeId) === '') {
    throw new OperationalError('STATE_CONFLICT', `${context.nodeName(formerNodeId) ?? formerNodeId} is in touch: ${vm.name} is not lost. Migrate it, or stop it there.`)
  }
  // The wish of its making was for the host that is lost, as often as not: it does not count here.
  const { node: _former, ...anywhere } = vm.spec.placement
  const spec = { ...vm.spec, placement: wished === undefined ? anywhere : { ...anywhere, node: wished } }
  const { nodeId } = findPlace(context, { name: vm.name, spec, labels: vm.labels, project: vm.project, vmId: vm.id, ...(formerNodeId === null ? {} : { leaving: formerNodeId }) })
  return { nodeId, formerNodeId }
}
