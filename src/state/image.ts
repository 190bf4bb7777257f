// Images: registered by the node that took the file in; the same content under the same name adds a holder.
import type { CommandOf } from '../model/command.ts'
import { defaultProject } from '../model/resource.ts'
import type { Outcome } from './apply.ts'
import { imageUses } from './query.ts'
import { requireCurrent } from './revision.ts'
import { nameKey } from './state.ts'
import { Refusal, type Transaction } from './transaction.ts'

export const imagesMax = 10_000

export function applyToImage(transaction: Transaction, command: CommandOf<'image.register' | 'image.delete'>): Outcome {
  return command.type === 'image.register' ? register(transaction, command.payload) : remove(transaction, command.payload)
}

function register(transaction: Transaction, payload: CommandOf<'image.register'>['payload']): Outcome {
  if (payload.project !== defaultProject) throw new Refusal('REFERENCE_MISSING', `There is no project ${payload.project}.`, [{ path: 'project', message: 'does not exist' }])
  transaction.require('node', payload.holder)
  const holderId = transaction.state.names.get(nameKey('image', payload.project, payload.name))
  const former = holderId === undefined ? undefined : transaction.get('image', holderId)
  if (former !== undefined && former.spec.sha256 === payload.spec.sha256) {
    if (former.holders.includes(payload.holder)) return { id: former.id }
    transaction.put('image', former.id, { ...former, holders: [...former.holders, payload.holder].toSorted(), revision: transaction.index })
    say(transaction, former, 'updated', `Image ${former.name} is on one more node`)
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

function remove(transaction: Transaction, payload: CommandOf<'image.delete'>['payload']): Outcome {
  const image = transaction.require('image', payload.id)
  requireCurrent(image, payload)
  const uses = imageUses(transaction.state, image.id)
  if (uses > 0) throw new Refusal('IN_USE', `${uses} ${uses === 1 ? 'disk is' : 'disks are'} made of image ${image.name}. Delete those VMs first.`)
  transaction.delete('image', image.id)
  say(transaction, image, 'deleted', `Image ${image.name} was deleted`)
  return { id: image.id }
}

function say(transaction: Transaction, image: { id: string; name: string; project: string }, type: 'created' | 'updated' | 'deleted', message: string): void {
  transaction.event({ type, kind: 'image', resourceId: image.id, name: image.name, project: image.project, message, reason: `image.${type}` })
}
