// Who becomes a node and who ceases to be one: appliances found on the network, and the dialogs that rename and remove a node.
import { html } from 'hono/html'
import type { DiscoveredNode, Node } from '../../src/model/node.ts'
import { many } from './figures.ts'
import { changeButton, confirmField, hiddenFields, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { spacedFingerprint } from './unclustered.ts'

/** Live cell. The fingerprint is what makes it safe: it is compared with the appliance's own page. */
export function nodesFound(frame: Frame, found: readonly DiscoveredNode[]): Html {
  return html`<div id="nodes-found" class="live col">${found.map((appliance) => {
    const { name, address, version, fingerprint } = appliance
    return html`<form method="post" class="note go" action="/nodes/discovered/${fingerprint}/admit" id="found-${fingerprint.slice(0, 16)}">${hiddenFields(frame, fingerprint)}${icon(frame, 'node')}<div class="grow"><p><b>An appliance was found on this network:</b> ${name} at <span class="mono">${address}</span>, NovaCron ${version}</p><p class="small">Fingerprint <code>${spacedFingerprint(fingerprint)}</code>. Compare it with the one that ${name} itself shows, on its page or by <code>novacron node status</code>.</p></div>${changeButton(frame, { text: `Admit ${name}`, icon: 'plus', command: `Admit ${name}`, id: `admit-${fingerprint.slice(0, 16)}` })}</form>`
  })}</div>`
}

/** What a dialog has to say again; `null` where it is closed. */
export type DialogState = { readonly error?: string; readonly typed?: string } | null

export function nodeMembershipLinks(frame: Frame, node: Node): Html {
  const link = (verb: 'rename' | 'remove', text: string, symbol: string) =>
    html`<a class="btn" href="/nodes/${node.name}/${verb}" data-do="show" data-for="#node-${verb}" data-change data-command="${text} ${node.name}…"${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>${icon(frame, symbol)}${text}</a>`
  return html`${link('rename', 'Rename', 'edit')}${link('remove', 'Remove', 'trash')}`
}

export function nodeRenameDialog(frame: Frame, node: Node, open: DialogState): Html {
  return html`<dialog id="node-rename" aria-labelledby="node-rename-h"${open === null ? '' : html` data-open open`}><form method="post" action="/nodes/${node.name}/rename">${hiddenFields(frame)}<div class="hd"><h2 id="node-rename-h">Rename ${node.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in">${textField(frame, {
    id: 'node-rename-name', name: 'name', label: 'Name', value: open?.typed ?? node.name, required: true, error: open?.error, help: 'Its certificate, figures and lists follow. VMs that wish for it go on wishing for it.',
  })}</div><div class="ft"><a class="btn" href="/nodes/${node.name}" data-do="close">Cancel</a>${changeButton(frame, { text: 'Rename', look: 'main', id: 'node-rename-go' })}</div></form></dialog>`
}

export function nodeRemoveDialog(frame: Frame, node: Node, open: DialogState): Html {
  const { vms } = node.status.allocated
  const words = vms === 0
    ? html`<p>It votes no more, its connections are cut and its key is refused. What it has of the cluster is put aside on its host; it may join again as a new node.</p>`
    : html`<p>It has ${many(vms, 'VM')}. Drain it first, so that they move elsewhere.</p><label class="check"><input type="checkbox" name="force" value="yes"><span>The host is off and stays off: remove it by force<small>Its VMs stay known, without an owner, and may be started elsewhere. ${node.status.ready ? 'It is heard of now: this is refused until its host is off and nothing has been heard of it for 10 s.' : 'Nothing may have been heard of it for 10 s.'}</small></span></label>`
  return html`<dialog id="node-remove" aria-labelledby="node-remove-h"${open === null ? '' : html` data-open open`}><form method="post" action="/nodes/${node.name}/remove">${hiddenFields(frame)}<div class="hd"><h2 id="node-remove-h">Remove ${node.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in">${words}${confirmField(frame, { id: 'node-remove-confirm', text: node.name, error: open?.error })}</div><div class="ft"><a class="btn" href="/nodes/${node.name}" data-do="close">Cancel</a>${changeButton(frame, { text: `Remove ${node.name}`, look: 'main risk', armed: true, id: 'node-remove-go' })}</div></form></dialog>`
}
