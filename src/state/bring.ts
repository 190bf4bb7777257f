// A host joins with what it has: its VMs and images become the cluster's, or nothing at all where a name, an id or an address is taken.
import type { Bring } from '../model/bring.ts'
import type { FieldError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import type { StoredVm } from '../model/vm.ts'
import { projectExists } from './query.ts'
import { nameKey, type State } from './state.ts'
import { Refusal, type Transaction } from './transaction.ts'
import { sayOfVm } from './vm-event.ts'

const namesShownMax = 20

/**
 * What the only node of a cluster would bring along.
 * @throws Refusal STATE_CONFLICT where it is not the only one, or something is under way on a VM
 */
export function bringOf(state: State, nodeId: string): Bring {
  if (state.tables.node.size !== 1) throw new Refusal('STATE_CONFLICT', 'Only the one node of a cluster can bring its VMs into another. Nothing was changed.')
  const vms = [...state.tables.vm.values()]
  const busy = vms.find((vm) => vm.operationId !== null || vm.deleting || vm.assignment?.nodeId !== nodeId)
  if (busy !== undefined) throw new Refusal('STATE_CONFLICT', `Something is under way on VM ${busy.name}. Wait for it, then try again. Nothing was changed.`)
  return {
    images: [...state.tables.image.values()].filter((image) => image.holders.includes(nodeId)).map(({ id, name, project, labels, spec }) => ({ id, name, project, labels: { ...labels }, spec })),
    vms: vms.map(({ id, name, project, labels, generation, spec, domainName, images, assignment, report, createdMs }) => ({
      id, name, project, labels: { ...labels }, generation, spec, domainName, images: { ...images }, epoch: assignment?.epoch ?? 1, report, createdMs,
    })),
  }
}

/** Takes over what the node brings. @throws Refusal NAME_TAKEN with everything that is in the way */
export function takeOver(transaction: Transaction, nodeId: NodeId, bring: Bring): void {
  const faults = collisions(transaction.state, bring)
  if (faults.length > 0) {
    const shown = faults.slice(0, namesShownMax).map(({ message }) => message)
    throw new Refusal('NAME_TAKEN', `The host cannot bring what it has: ${shown.join('; ')}${faults.length > shown.length ? ` and ${faults.length - shown.length} more` : ''}. Nothing was changed.`, faults)
  }
  const imageIds = new Map<string, string>()
  for (const image of bring.images) {
    const known = transaction.state.tables.image.get(transaction.state.names.get(nameKey('image', image.project, image.name)) ?? '')
    imageIds.set(image.id, known?.id ?? image.id)
    if (known !== undefined) {
      transaction.put('image', known.id, { ...known, holders: [...new Set([...known.holders, nodeId])], revision: transaction.index })
      continue
    }
    transaction.put('image', image.id, { ...image, kind: 'image', revision: transaction.index, generation: 1, holders: [nodeId], createdMs: transaction.timeMs })
    transaction.event({ type: 'created', kind: 'image', resourceId: image.id, name: image.name, project: image.project, message: `Image ${image.name} came with its host`, reason: 'image.registered' })
  }
  for (const { epoch, images, ...vm } of bring.vms) {
    const record: StoredVm = {
      ...vm, kind: 'vm', revision: transaction.index, assignment: { nodeId, epoch }, placed: 'came with its host', deleting: false,
      images: Object.fromEntries(Object.entries(images).map(([disk, image]) => [disk, { ...image, imageId: imageIds.get(image.imageId) ?? image.imageId }])),
      phaseSinceMs: transaction.timeMs, cause: { commandId: transaction.commandId, actor: transaction.actor.name }, operationId: null,
    }
    transaction.put('vm', record.id, record)
    sayOfVm(transaction, record, { type: 'created', message: `VM ${record.name} came with its host`, reason: 'vm.brought' })
  }
}

/** Everything that is in the way, each with the place in what was sent. */
function collisions(state: State, bring: Bring): readonly FieldError[] {
  const faults: FieldError[] = []
  const fault = (path: string, message: string) => faults.push({ path, message })
  bring.images.forEach((image, at) => {
    const known = state.tables.image.get(state.names.get(nameKey('image', image.project, image.name)) ?? '')
    if (known !== undefined && known.spec.sha256 !== image.spec.sha256) fault(`bring.images.${at}.name`, `image ${image.name} has another content here`)
    else if (known === undefined && state.tables.image.has(image.id)) fault(`bring.images.${at}.id`, `image ${image.name} is known here under another name`)
    if (!projectExists(state, image.project)) fault(`bring.images.${at}.project`, `project ${image.project} does not exist here`)
  })
  bring.vms.forEach((vm, at) => {
    if (state.names.has(nameKey('vm', vm.project, vm.name))) fault(`bring.vms.${at}.name`, `VM ${vm.name} exists here`)
    else if (state.tables.vm.has(vm.id)) fault(`bring.vms.${at}.id`, `VM ${vm.name} is known here under another name`)
    if (!projectExists(state, vm.project)) fault(`bring.vms.${at}.project`, `project ${vm.project} does not exist here`)
    const mac = vm.spec.nics.find((nic) => nic.mac !== undefined && state.macs.has(nic.mac))?.mac
    if (mac !== undefined) fault(`bring.vms.${at}.spec.nics`, `MAC address ${mac} of VM ${vm.name} is in use here`)
  })
  return faults
}
