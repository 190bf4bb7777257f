// Why is it so? A VM's state in sentences: who wished what, what was seen, what it waits for, and what to do.
import type { ErrorCode } from '../model/error.ts'
import type { Explanation, Reason } from '../model/explanation.ts'
import { operationKinds, type StoredOperation } from '../model/operation.ts'
import type { StoredVm, VmPhase } from '../model/vm.ts'
import { viewOf } from './placement.ts'
import { planPlacement } from '../planner/placement.ts'
import { isoTime, type AppContext } from './context.ts'
import { phaseOf } from './present.ts'

/** What an operator can do about a fault; codes that explain themselves are not here. */
const remedies: Partial<Readonly<Record<ErrorCode, string>>> = {
  STORAGE_FULL: 'Free some space on the node, or move VMs away; it is tried again by itself.',
  STORAGE_FAILED: 'Look at the node\'s disk and at the daemon\'s log; it is tried again by itself.',
  HYPERVISOR_UNREACHABLE: 'Start libvirt on the node (systemctl start libvirtd); it is tried again by itself.',
  HYPERVISOR_TIMEOUT: 'libvirt on the node is stuck: look at its log, restart it; running guests are not touched.',
  HYPERVISOR_REFUSED: 'The message is QEMU\'s or libvirt\'s own; where it does not start, correct the VM\'s spec, then start it again.',
  REFERENCE_MISSING: 'Bring back what is missing, or change the spec.',
  EPOCH_STALE: 'Another node owned it later; the cluster puts it right by itself.',
}

/** @returns reasons in the order people ask: is it well, who wanted it, why there, what now */
export function explainVm(context: AppContext, vm: StoredVm): Explanation {
  const operation = vm.operationId === null ? null : (context.state.tables.operation.get(vm.operationId) ?? null)
  const phase = phaseOf(context, vm)
  const reasons = [
    ...whyThisPhase(context, vm, phase), ...whyWaiting(context, vm, operation), ...whyWished(context, vm), ...whyThere(context, vm), ...whyBehind(vm),
  ]
  return { kind: 'vm', id: vm.id, name: vm.name, summary: summaryOf(context, vm, phase), reasons, placement: placementNow(context, vm) }
}

function summaryOf(context: AppContext, vm: StoredVm, phase: VmPhase): string {
  const node = context.nodeName(vm.assignment?.nodeId ?? null)
  const where = node === null ? 'on no node' : `on ${node}`
  if (phase === 'unknown') return `${vm.name} cannot be seen: nothing is heard of ${node ?? 'its node'}.`
  return phase === vm.spec.runState ? `${vm.name} is ${phase} ${where}, as it shall be.` : `${vm.name} is ${phase} ${where}; it shall be ${vm.spec.runState}.`
}

function whyThisPhase(context: AppContext, vm: StoredVm, phase: VmPhase): Reason[] {
  const since = isoTime(vm.phaseSinceMs)
  const cause = causeOf(context, vm)
  if (phase === 'unknown') {
    const node = context.nodeName(vm.assignment?.nodeId ?? null) ?? vm.lost?.node ?? 'Its node'
    const why = vm.assignment === null ? 'was removed from the cluster' : context.unreadiness(vm.assignment.nodeId)
    return [{
      topic: 'state', text: `${node} ${why}. It was last seen ${vm.report.phase}, and may run there still.`, since, cause: null,
      remedy: `${vm.lost === undefined ? `Bring ${node} back. Where it is surely off for good: ` : ''}"novacron vm recover ${vm.name} --host-is-off" starts it elsewhere.`,
    }]
  }
  const { code, message } = vm.report
  if (message !== '') {
    return [{ topic: 'state', text: message, since, cause, remedy: (Object.hasOwn(remedies, code) ? remedies[code as ErrorCode] : undefined) ?? null }]
  }
  return [{ topic: 'state', text: `It is ${vm.report.phase}, by its host's own word.`, since, cause, remedy: null }]
}

function whyWaiting(context: AppContext, vm: StoredVm, operation: StoredOperation | null): Reason[] {
  if (operation === null || operation.endedMs !== null) return []
  const step = operationKinds[operation.spec.operation][operation.step] ?? ''
  const nodeId = operation.nodeId ?? vm.assignment?.nodeId ?? null
  const node = context.nodeName(nodeId) ?? 'its node'
  const silent = nodeId === null ? '' : context.unreadiness(nodeId)
  const text = silent === '' ? `${operation.spec.operation} is at step ${step} on ${node}.` : `${operation.spec.operation} waits at step ${step}: ${node} ${silent}.`
  return [{
    topic: 'operation', text, since: isoTime(operation.startedMs), cause: { actor: operation.actor, commandId: operation.commandId, operationId: operation.id, step },
    remedy: silent === '' ? null : `It goes on by itself when ${node} is back; "novacron operation cancel ${operation.id}" gives it up.`,
  }]
}

function whyWished(context: AppContext, vm: StoredVm): Reason[] {
  const { actor } = vm.cause
  const text = actor === 'guest' ? `The guest powered itself off, so it shall be ${vm.spec.runState}.` : `${actor} wished it ${vm.spec.runState}.`
  return [{ topic: 'wish', text, since: null, cause: causeOf(context, vm), remedy: null }]
}

function whyThere(context: AppContext, vm: StoredVm): Reason[] {
  if (vm.assignment === null) return [{ topic: 'place', text: 'It has no node.', since: null, cause: null, remedy: `"novacron vm recover ${vm.name} --host-is-off" gives it one.` }]
  const node = context.nodeName(vm.assignment.nodeId) ?? vm.assignment.nodeId
  return [{ topic: 'place', text: `It is on ${node}${vm.placed === undefined ? '' : `: ${vm.placed}`}.`, since: null, cause: null, remedy: null }]
}

function whyBehind(vm: StoredVm): Reason[] {
  if (!vm.report.restartNeeded) return []
  return [{ topic: 'pending', text: 'Its spec was changed while it ran: the change takes effect at its next start.', since: null, cause: null, remedy: `"novacron vm restart ${vm.name}"` }]
}

/** What the planner would say of each node today. */
function placementNow(context: AppContext, vm: StoredVm): Explanation['placement'] {
  // A wish for a node counted when it was made; here every node is looked at.
  const { node: _wished, ...anywhere } = vm.spec.placement
  return viewOf(planPlacement(context.state, { spec: { ...vm.spec, placement: anywhere }, labels: vm.labels, project: vm.project, vmId: vm.id }, context.readyNodeIds()))
}

function causeOf(context: AppContext, vm: StoredVm): NonNullable<Reason['cause']> {
  const { commandId, actor, operationId } = vm.cause
  const operation = operationId === undefined ? undefined : context.state.tables.operation.get(operationId)
  const step = operation === undefined ? undefined : operationKinds[operation.spec.operation][Math.min(operation.step, operation.steps.length - 1)]
  return { actor, commandId, ...(operationId === undefined ? {} : { operationId }), ...(step === undefined ? {} : { step }) }
}
