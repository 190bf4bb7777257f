// Images: registered by the node that took the file in, held by as many nodes as somebody wished, deleted when nothing stands on them.
import type { CommandOf } from '../model/command.ts'
import { fieldErrorsOf } from '../model/field-error.ts'
import { imageEditSchema, type StoredImage } from '../model/image.ts'
import type { Outcome } from './apply.ts'
import { copiesWanted, imageUses, isImageNeededOn, keepersOf, vmsOfImage } from './image-use.ts'
import { mergePatch } from './merge-patch.ts'
import { dropOldOperations } from './old-operations.ts'
import { projectExists } from './query.ts'
import { requireCurrent } from './revision.ts'
import { nameKey } from './state.ts'
import { Refusal, type Transaction } from './transaction.ts'

export const imagesMax = 10_000
/** Running at once in the cluster. */
const importsMax = 64
const usersNamedMax = 5

type ImageCommand = CommandOf<'image.import' | 'image.register' | 'image.delete' | 'image.patch' | 'image.hold' | 'image.drop'>

export function applyToImage(transaction: Transaction, command: ImageCommand): Outcome {
  switch (command.type) {
    case 'image.register':
      return register(transaction, command.payload)
    case 'image.delete':
      return remove(transaction, command.payload)
    case 'image.patch':
      return patch(transaction, command.payload)
    case 'image.hold':
      return hold(transaction, command.payload)
    case 'image.drop':
      return drop(transaction, command.payload)
    case 'image.import':
      return beginImport(transaction, command.payload)
  }
}

function register(transaction: Transaction, payload: CommandOf<'image.register'>['payload']): Outcome {
  if (!projectExists(transaction.state, payload.project)) throw new Refusal('REFERENCE_MISSING', `There is no project ${payload.project}.`, [{ path: 'project', message: 'does not exist' }])
  transaction.require('node', payload.holder)
  const holderId = transaction.state.names.get(nameKey('image', payload.project, payload.name))
  const former = holderId === undefined ? undefined : transaction.get('image', holderId)
  if (former !== undefined && former.spec.sha256 === payload.spec.sha256) {
    if (former.holders.includes(payload.holder)) return { id: former.id }
    addHolder(transaction, former, payload.holder)
    return { id: former.id }
  }
  transaction.requireFreeName('image', payload.project, payload.name, payload.id)
  if (transaction.state.tables.image.size >= imagesMax) throw new Refusal('LIMIT_REACHED', `A cluster has at most ${imagesMax} images.`)
  transaction.put('image', payload.id, {
    id: payload.id, kind: 'image', name: payload.name, project: payload.project, labels: payload.labels, revision: transaction.index, generation: 1,
    spec: payload.spec, holders: [payload.holder], createdMs: transaction.timeMs,
  })
  say(transaction, payload, 'created', `Image ${payload.name} was imported`)
  return { id: payload.id }
}

/** The name is asked for again at the end: it is not reserved meanwhile. */
function beginImport(transaction: Transaction, payload: CommandOf<'image.import'>['payload']): Outcome {
  const { operationId, name, project } = payload
  if (!projectExists(transaction.state, project)) throw new Refusal('REFERENCE_MISSING', `There is no project ${project}.`, [{ path: 'project', message: 'does not exist' }])
  transaction.require('node', payload.nodeId)
  transaction.requireFreeName('image', project, name, '')
  const running = [...transaction.state.tables.operation.values()].filter((operation) => operation.import !== undefined && operation.endedMs === null)
  if (running.some((operation) => operation.project === project && operation.spec.target.name === name)) throw new Refusal('OPERATION_ACTIVE', `An image ${name} is being imported already.`)
  if (running.length >= importsMax) throw new Refusal('LIMIT_REACHED', `At most ${importsMax} images are imported at once.`)
  transaction.put('operation', operationId, {
    id: operationId, kind: 'operation', name: `image-import-${operationId.slice(-8)}`, project, labels: {}, revision: transaction.index, generation: 1,
    spec: { operation: 'image-import', target: { kind: 'image', id: payload.imageId, name }, force: false, timeoutSeconds: 0 },
    state: 'running', step: 0, steps: [{ startedMs: transaction.timeMs, endedMs: null }], nodeId: payload.nodeId,
    actor: transaction.actor.name, commandId: transaction.commandId, startedMs: transaction.timeMs, endedMs: null, error: null, formerRunState: null,
    import: { imageId: payload.imageId, url: payload.url, sha256: payload.sha256, labels: payload.labels, os: payload.os, copies: payload.copies },
  })
  dropOldOperations(transaction)
  transaction.event({
    type: 'created', kind: 'operation', resourceId: operationId, name: `image-import-${operationId.slice(-8)}`, project,
    message: `Operation image-import of ${name} began`, reason: 'operation.running',
  })
  return { id: payload.imageId, operationId }
}

function addHolder(transaction: Transaction, image: StoredImage, nodeId: string): void {
  transaction.put('image', image.id, { ...image, holders: [...image.holders, nodeId].toSorted(), revision: transaction.index })
  say(transaction, image, 'updated', `Image ${image.name} is on one more node`)
}

function remove(transaction: Transaction, payload: CommandOf<'image.delete'>['payload']): Outcome {
  const image = transaction.require('image', payload.id)
  requireCurrent(image, payload)
  const uses = imageUses(transaction.state, image.id)
  if (uses > 0) {
    const vms = vmsOfImage(transaction.state, image.id)
    const named = vms.slice(0, usersNamedMax).map((vm) => vm.name).join(', ')
    const more = vms.length > usersNamedMax ? ` and ${vms.length - usersNamedMax} more` : ''
    throw new Refusal('IN_USE', `${uses} ${uses === 1 ? 'disk is' : 'disks are'} made of image ${image.name}: of ${named}${more}. Delete those VMs first.`)
  }
  transaction.delete('image', image.id)
  say(transaction, image, 'deleted', `Image ${image.name} was deleted`)
  return { id: image.id }
}

function patch(transaction: Transaction, payload: CommandOf<'image.patch'>['payload']): Outcome {
  const image = transaction.require('image', payload.id)
  requireCurrent(image, payload)
  const parsed = imageEditSchema.safeParse(mergePatch({ name: image.name, labels: image.labels, spec: image.spec }, payload.patch))
  if (!parsed.success) throw new Refusal('INVALID', 'The change would make the image invalid.', fieldErrorsOf(parsed.error))
  const { name, labels, spec } = parsed.data
  for (const field of ['format', 'sha256', 'sizeBytes', 'virtualSizeBytes'] as const) {
    if (spec[field] !== image.spec[field]) throw new Refusal('INVALID', 'An image\'s content cannot be changed: import another one.', [{ path: `spec.${field}`, message: 'cannot be changed' }])
  }
  if (name !== image.name) transaction.requireFreeName('image', image.project, name, image.id)
  const wished = spec.copies !== image.spec.copies || spec.os !== image.spec.os
  transaction.put('image', image.id, { ...image, name, labels, spec, revision: transaction.index, generation: wished ? image.generation + 1 : image.generation })
  const renamed = name === image.name ? '' : ` and is called ${name}`
  say(transaction, { ...image, name }, 'updated', spec.copies === image.spec.copies ? `Image ${image.name} was edited${renamed}` : `Image ${image.name} shall have ${spec.copies === 'all' ? 'a copy on every node' : `${spec.copies ?? 'no set number of'} copies`}${renamed}`)
  return { id: image.id }
}

function hold(transaction: Transaction, payload: CommandOf<'image.hold'>['payload']): Outcome {
  const image = transaction.require('image', payload.id)
  transaction.require('node', payload.nodeId)
  if (!image.holders.includes(payload.nodeId)) addHolder(transaction, image, payload.nodeId)
  return { id: image.id }
}

/** The last copy, one too few, and one that disks on that node stand on stay, whoever asks. */
function drop(transaction: Transaction, payload: CommandOf<'image.drop'>['payload']): Outcome {
  const image = transaction.require('image', payload.id)
  if (!image.holders.includes(payload.nodeId)) return { id: image.id }
  const node = transaction.get('node', payload.nodeId)?.name ?? payload.nodeId
  if (!payload.lost) {
    const wanted = copiesWanted(transaction.state, image)
    if (wanted === null || keepersOf(transaction.state, image).length <= Math.max(1, wanted)) throw new Refusal('STATE_CONFLICT', `Image ${image.name} has no copy too many.`)
    if (isImageNeededOn(transaction.state, image.spec.sha256, payload.nodeId)) throw new Refusal('IN_USE', `Disks on ${node} are made of image ${image.name}.`)
  }
  transaction.put('image', image.id, { ...image, holders: image.holders.filter((id) => id !== payload.nodeId), revision: transaction.index })
  say(transaction, image, 'updated', payload.lost ? `The copy of image ${image.name} on ${node} is gone` : `Node ${node} gave up its copy of image ${image.name}`)
  return { id: image.id }
}

function say(transaction: Transaction, image: { id: string; name: string; project: string }, type: 'created' | 'updated' | 'deleted', message: string): void {
  transaction.event({ type, kind: 'image', resourceId: image.id, name: image.name, project: image.project, message, reason: `image.${type}` })
}
