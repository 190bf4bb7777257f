// The page that begins a VM of a dead host anew elsewhere: what is lost, what must be made sure, where it would go.
import { html } from 'hono/html'
import type { PlacementView } from '../../src/model/explanation.ts'
import type { Vm } from '../../src/model/vm.ts'
import { changeButton, confirmField, hiddenFields, selectField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { problemNote, type Problem } from './note.ts'
import { vmHead, vmMenu } from './vm.ts'
import { vmPath } from './vm-words.ts'

export type VmRecoverForm = { readonly vm: Vm; readonly placement: PlacementView; readonly node: string; readonly error: string | undefined; readonly problem: Problem | null }

export function vmRecoverPage(frame: Frame, data: VmRecoverForm): Html {
  const { vm, placement } = data
  const path = vmPath(vm)
  const blank = vm.spec.disks.filter((disk) => disk.image === undefined).map((disk) => disk.name)
  const choices = [{ value: '', text: 'Best fit' }, ...placement.considered.filter((each) => each.fits && each.node !== vm.status.node).map((each) => ({ value: each.node, text: `${each.node}, ${each.reason}` }))]
  return html`${vmHead(frame, vm, 'overview')}
<form class="card" method="post" action="${path}/recover">${hiddenFields(frame)}<header><h2>Recover ${vm.name} elsewhere</h2></header><div class="in col wide">
${data.problem === null ? '' : problemNote(frame, data.problem)}
<p>Nothing is heard of ${vm.status.node ?? 'its node'}. ${vm.name} may run there still: only you can make sure that the host is off and stays off. Else it runs twice.</p>
<p>It begins anew from ${vm.spec.disks.length === 1 ? 'its image' : 'its images'}. What its disks held stays on the dead host${blank.length === 0 ? '' : `; disk ${blank.join(', ')} begins empty`}.</p>
<div class="two">${selectField(frame, { id: 'recover-node', name: 'node', label: 'Where to', value: data.node, choices, error: undefined })}</div>
${confirmField(frame, { id: 'recover-confirm', text: `${vm.status.node ?? vm.name} is off`, error: data.error })}
<div class="row">${changeButton(frame, { text: `Recover ${vm.name}`, look: 'main risk', armed: true, id: 'recover-go' })}<a class="btn" href="${path}">Back to ${vm.name}</a></div></div></form>${vmMenu(frame, vm)}`
}
