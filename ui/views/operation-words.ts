// Words about operations that several pages use.
import type { Operation, OperationKind } from '../../src/model/operation.ts'
import { bytes, duration } from './figures.ts'
import type { Frame } from './frame.ts'

const verbs: Readonly<Record<OperationKind, string>> = {
  'vm-start': 'Start', 'vm-stop': 'Stop', 'vm-restart': 'Restart', 'vm-reset': 'Reset', 'vm-pause': 'Pause', 'vm-resume': 'Resume', 'vm-delete': 'Delete',
  'vm-migrate': 'Migrate', 'vm-move': 'Move', 'node-drain': 'Drain', 'image-import': 'Import',
}
const progressWords: Readonly<Record<OperationKind, string>> = {
  'vm-start': 'Starting', 'vm-stop': 'Stopping', 'vm-restart': 'Restarting', 'vm-reset': 'Resetting', 'vm-pause': 'Pausing', 'vm-resume': 'Resuming', 'vm-delete': 'Deleting',
  'vm-migrate': 'Migrating', 'vm-move': 'Moving', 'node-drain': 'Draining', 'image-import': 'Importing',
}
const stepWords: Readonly<Record<string, string>> = {
  boot: 'Start it on its node', shutdown: 'Power it off', reset: 'Reset it', pause: 'Pause its CPUs', resume: 'Let its CPUs go on', remove: 'Remove it with its disks',
  prepare: 'Make its place on the target', transfer: 'Move its disks and memory', release: 'Take it from the source', switch: 'Let it go on on the target',
  copy: 'Copy its disks', clean: 'Clean up on the source', drain: 'Move its VMs away', download: 'Fetch it from its address',
}

/** "Start web". */
export function operationTitle(operation: Pick<Operation, 'spec'>): string {
  return `${verbs[operation.spec.operation] ?? operation.spec.operation} ${operation.spec.target.name}`
}

/** "Starting web". */
export function operationProgressTitle(operation: Pick<Operation, 'spec'>): string {
  return `${progressWords[operation.spec.operation] ?? operation.spec.operation} ${operation.spec.target.name}`
}

export function stepWord(name: string): string {
  return stepWords[name] ?? name
}

/** "disks: 152 MiB of 640 MiB, 48 MiB/s"; empty where nothing is told. */
export function progressLine(operation: Pick<Operation, 'spec' | 'status'>): string {
  const { progress = null, bytes: moved = null, downtimeMs = null } = operation.status
  if (progress === null || operation.status.direction === 'back') return moved === null || operation.status.endedAt === null ? '' : `${bytes(moved)} moved${downtimeMs === null ? '' : `, stood still for ${Math.round(downtimeMs)} ms`}`
  if (operation.spec.operation === 'node-drain') return `${progress.processedBytes} of ${progress.totalBytes} VMs have left`
  const total = progress.totalBytes === 0 ? '' : ` of ${bytes(progress.totalBytes)}`
  return `${progress.phase}: ${bytes(progress.processedBytes)}${total}${progress.bytesPerSecond === 0 ? '' : `, ${bytes(progress.bytesPerSecond)}/s`}`
}

/** Share of the steps that are done, 0…100. */
export function operationPercent(operation: Pick<Operation, 'status'>): number {
  const { steps, progress = null, error } = operation.status
  if (steps.length === 0) return 0
  const total = progress?.totalBytes ?? 0
  const running = progress === null || total === 0 || error !== null ? 0 : Math.min(1, progress.processedBytes / total)
  return Math.round(((steps.filter((step) => step.state === 'done').length + running) / steps.length) * 100)
}

/** "1.4 s", "after 41 s: the guest did not power off", "for 3 s so far". */
export function operationResult(frame: Pick<Frame, 'nowMs'>, operation: Pick<Operation, 'status'>): string {
  const { status } = operation
  const ms = (status.endedAt === null ? frame.nowMs : Date.parse(status.endedAt)) - Date.parse(status.startedAt)
  if (status.error !== null) return `after ${duration(ms)}: ${status.error.message}`
  return status.endedAt === null ? `for ${duration(ms)} so far` : duration(ms)
}
