// Draining a node: the buttons on its page, and the dialog that asks before its VMs move away.
import { html } from 'hono/html'
import type { Node } from '../../src/model/node.ts'
import { many } from './figures.ts'
import { changeButton, hiddenFields, selectField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'

/** In the form of the page's head. */
export function nodeDrainButtons(frame: Frame, node: Node): Html {
  const { name } = node
  if (!node.spec.schedulable) return changeButton(frame, { text: 'Open to VMs', icon: 's-ok', path: `/nodes/${name}/uncordon`, command: `Open ${name} to VMs` })
  return html`${changeButton(frame, { text: 'Close to new VMs', icon: 's-maint', path: `/nodes/${name}/schedulable`, command: `Close ${name} to new VMs` })}<a class="btn" href="/nodes/${name}/drain" data-do="show" data-for="#node-drain" data-change data-command="Drain ${name}…"${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>${icon(frame, 'migrate')}Drain</a>`
}

/** @param open null where it is closed */
export function nodeDrainDialog(frame: Frame, node: Node, open: { readonly error?: string } | null): Html {
  const { vms } = node.status.allocated
  const choices = [1, 2, 3, 4, 6, 8].map((number) => ({ value: String(number), text: String(number) }))
  return html`<dialog id="node-drain" aria-labelledby="node-drain-h"${open === null ? '' : html` data-open open`}><form method="post" action="/nodes/${node.name}/drain">${hiddenFields(frame)}<div class="hd"><h2 id="node-drain-h">Drain ${node.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in col">${
    open?.error === undefined ? '' : html`<div class="note bad" role="alert">${icon(frame, 's-failed')}<p>${open.error}</p></div>`
  }<p>${vms === 0 ? 'It has no VM.' : `${many(vms, 'VM')} ${vms === 1 ? 'moves' : 'move'} to other nodes; those that run go on running.`} It takes no new VMs until it is opened again. What fits nowhere else stays, and is named.</p>${selectField(frame, { id: 'node-drain-concurrency', name: 'concurrency', label: 'VMs that move at once', value: '2', choices, error: undefined })}</div><div class="ft"><a class="btn" href="/nodes/${node.name}" data-do="close">Cancel</a>${changeButton(frame, { text: `Drain ${node.name}`, look: 'main', id: 'node-drain-go' })}</div></form></dialog>`
}
