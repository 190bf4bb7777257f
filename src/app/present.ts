// Records of the state → resources as answered, with what is computed at read: phase, readiness, load.
import { divergenceText } from '../model/checkpoint.ts'
import type { Image } from '../model/image.ts'
import type { Node } from '../model/node.ts'
import { operationKinds, type Operation, type StoredOperation } from '../model/operation.ts'
import type { Condition } from '../model/resource.ts'
import type { StoredImage } from '../model/image.ts'
import type { StoredNode } from '../model/node.ts'
import type { StoredVm, Vm, VmPhase } from '../model/vm.ts'
import { clauseOf } from '../model/sentence.ts'
import { fetchKey } from '../ports/image-supply.ts'
import { shownPhase } from '../planner/vm.ts'
import { isCancellable } from '../state/operation.ts'
import { copiesWanted, holdersOf, imageUses, vmCountOfImage, vmsOfImage } from '../state/image-use.ts'
import { allocationOf } from '../state/query.ts'
import { isoTime, type AppContext } from './context.ts'

const imageUsersShown = 5

export function phaseOf(context: AppContext, vm: StoredVm): VmPhase {
  const operation = vm.operationId === null ? null : (context.state.tables.operation.get(vm.operationId) ?? null)
  const heard = vm.assignment !== null && (context.unreadiness(vm.assignment.nodeId) === '' || vm.assignment.nodeId === context.nodeId)
  return shownPhase(vm, operation, heard)
}

export function presentVm(context: AppContext, vm: StoredVm): Vm {
  const phase = phaseOf(context, vm)
  return {
    id: vm.id, kind: 'vm', name: vm.name, project: vm.project, labels: vm.labels, revision: vm.revision, generation: vm.generation,
    spec: vm.spec,
    status: {
      phase,
      node: context.nodeName(vm.assignment?.nodeId ?? null),
      nodeId: vm.assignment?.nodeId ?? null,
      epoch: vm.assignment?.epoch ?? vm.lost?.epoch ?? 0,
      observedGeneration: vm.report.observedGeneration,
      addresses: vm.report.addresses,
      message: phase === 'unknown' ? unknownBecause(context, vm) : vm.report.message,
      operation: vm.operationId,
      createdAt: isoTime(vm.createdMs),
      conditions: conditionsOf(context, vm, phase),
    },
  }
}

function unknownBecause(context: AppContext, vm: StoredVm): string {
  if (vm.assignment === null) return vm.report.message
  const { nodeId } = vm.assignment
  return `Node ${context.nodeName(nodeId) ?? nodeId} ${context.unreadiness(nodeId)}.`
}

function conditionsOf(context: AppContext, vm: StoredVm, phase: VmPhase): Condition[] {
  const operation = vm.cause.operationId === undefined ? undefined : context.state.tables.operation.get(vm.cause.operationId)
  const step = operation === undefined ? undefined : operationKinds[operation.spec.operation][Math.min(operation.step, operation.steps.length - 1)]
  const cause = {
    commandId: vm.cause.commandId, actor: vm.cause.actor, ...(vm.cause.operationId === undefined ? {} : { operationId: vm.cause.operationId }), ...(step === undefined ? {} : { step }),
  }
  const wanted = { running: 'running', stopped: 'stopped', paused: 'paused' }[vm.spec.runState]
  const ready: Condition = {
    type: 'Ready', status: phase === 'unknown' ? 'unknown' : phase === wanted ? 'true' : 'false',
    reason: phase, message: phase === 'unknown' ? unknownBecause(context, vm) : vm.report.message, sinceMs: vm.phaseSinceMs, cause,
  }
  if (vm.report.code !== '') return [ready, { type: 'Failed', status: 'true', reason: vm.report.code, message: vm.report.message, sinceMs: vm.phaseSinceMs, cause }]
  if (!vm.report.restartNeeded) return [ready]
  return [ready, { type: 'RestartNeeded', status: 'true', reason: 'specChanged', message: 'The change takes effect at the next start.', sinceMs: vm.phaseSinceMs, cause }]
}

export function presentNode(context: AppContext, node: StoredNode): Node {
  const status = context.ports.consensus.status()
  const presence = context.ports.presence.of(node.id)
  const peer = context.ports.transport.peers().find((candidate) => candidate.nodeId === node.id)
  const reason = context.unreadiness(node.id)
  const announcement = node.announcement
  const httpAddress = announcement?.httpAddress ?? ''
  return {
    id: node.id, kind: 'node', name: node.name, project: '', labels: node.labels, revision: node.revision, generation: node.generation,
    spec: { ...node.spec, voting: node.spec.voting ?? 'auto' },
    status: {
      role: roleOf(status, node.id),
      ready: reason === '',
      reason,
      version: announcement?.version ?? '',
      addresses: httpAddress === '' ? [] : [httpAddress.replace(/:\d+$/, '')],
      url: httpAddress === '' ? '' : `https://${httpAddress}`,
      accelerator: announcement?.accelerator ?? '',
      hypervisor: announcement?.hypervisor ?? '',
      capacity: announcement?.capacity ?? { cpus: 1, memoryMiB: 1, storageBytes: 0 },
      allocated: allocationOf(context.state, node.id),
      load: presence?.load ?? null,
      lastSeenAt: presence === null ? null : isoTime(context.ports.clock.nowMs() - presence.ageMs),
      rttMs: peer?.rttMs ?? null,
      conditions: [...divergenceConditions(node), ...leavingConditions(node), ...troubleConditions(context, node.id), ...drainConditions(context, node)],
    },
  }
}

function divergenceConditions({ divergence }: StoredNode): Condition[] {
  if (divergence === undefined) return []
  const { sinceMs, ...differs } = divergence
  return [{ type: 'StateDiverged', status: 'true', reason: 'hashDiffers', message: divergenceText({ phase: 'stopped', ...differs }), sinceMs }]
}

function leavingConditions({ leaving, id }: StoredNode): Condition[] {
  if (leaving === undefined) return []
  return [{ type: 'Leaving', status: 'true', reason: 'removed', message: `${leaving.actor} removes it${leaving.force ? ' by force' : ''}.`, sinceMs: leaving.sinceMs, cause: { commandId: id, actor: leaving.actor } }]
}

/** What ails its part in consensus. */
function troubleConditions(context: AppContext, nodeId: string): Condition[] {
  return context.troublesOf(nodeId).map(({ type, message, sinceMs }) => ({ type, status: 'true', reason: type, message, sinceMs }))
}

/** A drain that runs, or what is left of one that is over: it stays closed until somebody opens it. */
function drainConditions(context: AppContext, node: StoredNode): Condition[] {
  if (node.spec.draining !== true) return []
  const { vms } = allocationOf(context.state, node.id)
  const count = vms === 1 ? '1 VM' : `${vms} VMs`
  const drain = lastDrain(context, node.id)
  const cause = drain === undefined ? {} : { cause: { commandId: drain.commandId, actor: drain.actor, operationId: drain.id } }
  if (drain !== undefined && drain.endedMs === null) return [{ type: 'Draining', status: 'true', reason: 'running', message: `${count} yet to move.`, sinceMs: drain.startedMs, ...cause }]
  const error = drain?.error ?? null
  // What fits nowhere is counted in the drain's own words.
  const left = error === null ? `${count} left` : error.code === 'NO_FIT' ? error.message : `${count} left: ${error.message}`
  const message = vms === 0 ? 'It has no VM, and takes none until it is opened again.' : `${clauseOf(left)}.`
  return [{ type: 'Drained', status: vms === 0 ? 'true' : 'false', reason: vms === 0 ? 'empty' : 'vmsLeft', message, sinceMs: drain?.endedMs ?? 0, ...cause }]
}

/** Undefined where it was so long ago that its record is gone. */
function lastDrain(context: AppContext, nodeId: string): StoredOperation | undefined {
  let last: StoredOperation | undefined
  for (const operation of context.state.tables.operation.values()) {
    if (operation.spec.operation === 'node-drain' && operation.spec.target.id === nodeId && (last === undefined || operation.id > last.id)) last = operation
  }
  return last
}

export function roleOf(status: { readonly leaderId: string | null; readonly configuration: { readonly voters: readonly string[]; readonly learners: readonly string[] } }, nodeId: string): Node['status']['role'] {
  if (status.leaderId === nodeId) return 'leader'
  if (status.configuration.voters.includes(nodeId)) return 'voter'
  return status.configuration.learners.includes(nodeId) ? 'learner' : 'none'
}

export function presentImage(context: AppContext, image: StoredImage): Image {
  return {
    id: image.id, kind: 'image', name: image.name, project: image.project, labels: image.labels, revision: image.revision, generation: image.generation,
    spec: image.spec,
    status: {
      nodes: holdersOf(context.state, image).map((id) => context.nodeName(id) ?? id).toSorted(),
      uses: imageUses(context.state, image.id),
      usedBy: usersOf(context, image),
      copiesWanted: copiesWanted(context.state, image),
      fetching: fetchingOf(context, image),
      createdAt: isoTime(image.createdMs),
      conditions: [],
    },
  }
}

/** What is on its way to nodes, as they told lately. */
function fetchingOf(context: AppContext, image: StoredImage): Image['status']['fetching'] {
  return [...context.state.tables.node.values()].flatMap((node) => {
    const progress = image.holders.includes(node.id) ? null : context.ports.progress.of(fetchKey(image.spec.sha256, node.id))
    return progress === null ? [] : [{ node: node.name, processedBytes: progress.processedBytes, totalBytes: progress.totalBytes }]
  })
}

function usersOf(context: AppContext, image: StoredImage): Image['status']['usedBy'] {
  const count = vmCountOfImage(context.state, image.id)
  return { count, names: count === 0 ? [] : vmsOfImage(context.state, image.id).slice(0, imageUsersShown).map((vm) => vm.name) }
}

export function presentOperation(context: AppContext, operation: StoredOperation): Operation {
  const names = operationKinds[operation.spec.operation]
  return {
    id: operation.id, kind: 'operation', name: operation.name, project: operation.project, labels: operation.labels,
    revision: operation.revision, generation: operation.generation, spec: operation.spec,
    status: {
      state: operation.state,
      step: operation.step,
      steps: names.map((name, at) => ({ name, ...stepTimes(operation, at), state: stepState(operation, at) })),
      node: context.nodeName(operation.nodeId),
      actor: operation.actor,
      startedAt: isoTime(operation.startedMs),
      endedAt: operation.endedMs === null ? null : isoTime(operation.endedMs),
      error: operation.error,
      cancellable: isCancellable(operation),
      progress: operation.endedMs === null ? context.ports.progress.of(operation.id) : null,
      ...(operation.move === undefined ? {} : { direction: operation.move.direction, bytes: operation.move.outputs.bytes ?? null, downtimeMs: operation.move.outputs.downtimeMs ?? null }),
    },
  }
}

function stepTimes(operation: StoredOperation, at: number): { readonly startedAt: string | null; readonly endedAt: string | null } {
  const step = operation.steps[at]
  const time = (timeMs: number | null | undefined) => (timeMs === null || timeMs === undefined ? null : isoTime(timeMs))
  return { startedAt: time(step?.startedMs), endedAt: time(step?.endedMs) }
}

/** On its way back: what had been done is being undone. */
function turnedStepState(operation: StoredOperation, at: number, turnedAt: number): Operation['status']['steps'][number]['state'] {
  if (at > turnedAt) return 'waiting'
  if (operation.state === 'running' && at === operation.step) return 'running'
  if (at < turnedAt) return operation.state === 'running' && at < operation.step ? 'done' : 'cancelled'
  return operation.move?.cancelled === true ? 'cancelled' : 'failed'
}

function stepState(operation: StoredOperation, at: number): Operation['status']['steps'][number]['state'] {
  const turnedAt = operation.move?.turnedAt ?? null
  if (turnedAt !== null) return turnedStepState(operation, at, turnedAt)
  if (operation.state === 'done' || at < operation.step) return 'done'
  if (at > operation.step) return 'waiting'
  if (operation.state === 'failed') return 'failed'
  return operation.state === 'cancelled' ? 'cancelled' : 'running'
}
