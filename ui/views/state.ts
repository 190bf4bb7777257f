// Words of state: one icon shape, one word, one tone for each.
import { html } from 'hono/html'
import type { Node, NodeTrouble } from '../../src/model/node.ts'
import type { Operation, OperationState } from '../../src/model/operation.ts'
import type { VmPhase } from '../../src/model/vm.ts'
import type { Frame, Html } from './frame.ts'
import { many } from './figures.ts'
import { icon } from './icon.ts'

export type StateWord = { readonly word: string; readonly tone: '' | 'ok' | 'warn' | 'bad' | 'go' | 'off'; readonly icon: string; readonly spin?: true }

export const vmStateWords: Readonly<Record<VmPhase, StateWord>> = {
  pending: { word: 'Creating', tone: 'go', icon: 's-busy', spin: true },
  starting: { word: 'Starting', tone: 'go', icon: 's-busy', spin: true },
  running: { word: 'Running', tone: 'ok', icon: 's-running' },
  paused: { word: 'Paused', tone: 'warn', icon: 's-paused' },
  migrating: { word: 'Migrating', tone: 'go', icon: 's-moving' },
  stopping: { word: 'Stopping', tone: 'go', icon: 's-busy', spin: true },
  stopped: { word: 'Stopped', tone: 'off', icon: 's-stopped' },
  suspended: { word: 'Suspended', tone: 'off', icon: 's-asleep' },
  deleting: { word: 'Deleting', tone: 'go', icon: 's-busy', spin: true },
  failed: { word: 'Failed', tone: 'bad', icon: 's-failed' },
  unknown: { word: 'Unknown', tone: '', icon: 's-unknown' },
}

export const operationStateWords: Readonly<Record<OperationState, StateWord>> = {
  queued: { word: 'Queued', tone: 'off', icon: 's-queued' },
  running: { word: 'Running', tone: 'go', icon: 's-busy', spin: true },
  done: { word: 'Done', tone: 'ok', icon: 's-ok' },
  failed: { word: 'Failed', tone: 'bad', icon: 's-failed' },
  cancelled: { word: 'Cancelled', tone: 'off', icon: 's-cancelled' },
}

/** What runs backwards says so: it is neither done nor over. */
export function operationWord(operation: Pick<Operation, 'status'>): StateWord {
  const back = operation.status.state === 'running' && operation.status.direction === 'back'
  return back ? { word: operation.status.error?.code === 'CANCELLED' ? 'Cancelling' : 'Going back', tone: 'warn', icon: 's-busy', spin: true } : operationStateWords[operation.status.state]
}

export const roleIcons: Readonly<Record<Node['status']['role'], string>> = { leader: 'star', voter: 'voter', learner: 'learner', none: 's-unknown' }

/** What a node says of itself while it is in touch with no majority: others it cannot judge. */
export const noQuorumReason = 'has no quorum'

const troubleWords: Readonly<Record<NodeTrouble, StateWord>> = {
  LogDamaged: { word: 'Log damaged', tone: 'bad', icon: 's-warn' },
  Resyncing: { word: 'Re-syncing', tone: 'warn', icon: 's-busy', spin: true },
  DiskFull: { word: 'Disk full', tone: 'bad', icon: 's-warn' },
  DiskHung: { word: 'Disk hangs', tone: 'bad', icon: 's-warn' },
}

/** What ails its part in consensus, the gravest first. */
export function troublesOf(node: Node): readonly { readonly word: StateWord; readonly message: string }[] {
  return node.status.conditions.flatMap(({ type, message }) => (Object.hasOwn(troubleWords, type) ? [{ word: troubleWords[type as NodeTrouble], message }] : []))
}

export function nodeStateWord(node: Node): StateWord {
  if (node.status.conditions.some((condition) => condition.type === 'Leaving')) return { word: 'Leaving', tone: 'warn', icon: 's-maint' }
  const [trouble] = troublesOf(node)
  if (trouble !== undefined) return trouble.word
  if (!node.status.ready) {
    return node.status.lastSeenAt === null && node.status.version === ''
      ? { word: 'Joining', tone: 'go', icon: 's-busy', spin: true }
      : node.status.reason === noQuorumReason
        ? { word: 'No quorum', tone: 'bad', icon: 's-offline' }
        : { word: 'Unreachable', tone: 'bad', icon: 's-offline' }
  }
  if (node.spec.draining === true) {
    const drained = node.status.conditions.find((condition) => condition.type === 'Drained')
    if (drained === undefined) return { word: 'Draining', tone: 'go', icon: 's-moving' }
    const left = node.status.allocated.vms
    return drained.status === 'true' ? { word: 'Drained', tone: 'warn', icon: 's-maint' } : { word: `Drained, ${many(left, 'VM')} left`, tone: 'warn', icon: 's-warn' }
  }
  if (!node.spec.schedulable) return { word: 'Closed to new VMs', tone: 'warn', icon: 's-maint' }
  return { word: 'Ready', tone: 'ok', icon: 's-ok' }
}

/** The state as it stands in a row, or with `pill` in a page head. */
export function state(frame: Pick<Frame, 'asset'>, word: StateWord, options: { readonly pill?: boolean; readonly text?: string } = {}): Html {
  const tone = options.pill === true && word.tone === 'off' ? '' : word.tone
  const classes = ['state', options.pill === true ? 'pill' : '', tone].filter((part) => part !== '').join(' ')
  return html`<span class="${classes}">${icon(frame, word.icon, word.spin === true ? 'spin' : '')}${options.text ?? word.word}</span>`
}
