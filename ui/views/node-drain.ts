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
  const running = node.status.conditions.some((condition) => condition.type === 'Draining')
  const again = node.status.conditions.some((condition) => condition.type === 'Drained')
  const drain = running || (again && node.status.allocated.vms === 0) ? '' : html`<a class="btn" href="/nodes/${name}/drain" data-do="show" data-for="#node-drain" data-change data-command="Drain ${name}…"${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>${icon(frame, 'migrate')}${again ? 'Drain again' : 'Drain'}</a>`
  if (!node.spec.schedulable) return html`${changeButton(frame, { text: 'Open to VMs', icon: 's-ok', path: `/nodes/${name}/uncordon`, command: `Open ${name} to VMs` })}${drain}`
  return html`${changeButton(frame, { text: 'Close to new VMs', icon: 's-maint', path: `/nodes/${name}/schedulable`, command: `Close ${name} to new VMs` })}${drain}`
}

/** How far its drain is, or what is left of it. */
export function nodeDrainWord(frame: Frame, node: Node): Html {
  const condition = node.status.conditions.find(({ type }) => type === 'Draining' || type === 'Drained')
  if (condition === undefined) return html``
  const operationId = condition.cause?.operationId
  return html`<p>${condition.status === 'true' ? '' : html`${icon(frame, 's-warn', 'warn')} `}${condition.message}${operationId === undefined ? '' : html` <a href="/operations/${operationId}">The drain</a>`}</p>`
}

/** What a drain would do: where each VM would go, and why some would stay. Null: not asked yet. */
export type DrainPlan = { readonly moves: readonly { readonly name: string; readonly node: string | null }[]; readonly notes: readonly string[] } | { readonly refusal: string } | null

const movesShownMax = 12
const notesShownMax = 5

/** Filled in when the dialog is opened. */
export function nodeDrainPlan(frame: Frame, plan: DrainPlan): Html {
  if (plan === null) return html`<div id="drain-plan" aria-live="polite"></div>`
  if ('refusal' in plan) return html`<div id="drain-plan" aria-live="polite"><p class="small bad">${plan.refusal}</p></div>`
  const { moves, notes } = plan
  if (moves.length === 0) return html`<div id="drain-plan" aria-live="polite"></div>`
  const rest = moves.length - movesShownMax
  const staying = moves.filter(({ node }) => node === null)
  const shown = [...staying, ...moves.filter(({ node }) => node !== null)].slice(0, movesShownMax)
  return html`<div id="drain-plan" class="col" aria-live="polite">${notes.length === 0 ? '' : html`<div class="note warn">${icon(frame, 's-warn', 'warn')}<div class="grow"><p class="b">${many(notes.length, 'VM')} would stay</p>${notes.slice(0, notesShownMax).map((note) => html`<p class="small">${note}</p>`)}</div></div>`}<table role="table" class="tbl"><caption class="vh">Where each VM would go</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">VM</th><th role="columnheader" scope="col">Would go to</th></tr></thead><tbody role="rowgroup">${shown.map(
    ({ name, node }) => html`<tr role="row"><th role="rowheader" scope="row" class="mono">${name}</th><td role="cell">${node === null ? html`<span class="dim">stays</span>` : node}</td></tr>`,
  )}</tbody></table>${rest > 0 ? html`<p class="small dim">and ${many(rest, 'VM')} more</p>` : ''}</div>`
}

/** @param open null where it is closed */
export function nodeDrainDialog(frame: Frame, node: Node, open: { readonly error?: string; readonly plan: DrainPlan } | null): Html {
  const { vms } = node.status.allocated
  const choices = [1, 2, 3, 4, 6, 8].map((number) => ({ value: String(number), text: String(number) }))
  return html`<dialog id="node-drain" aria-labelledby="node-drain-h"${open === null ? '' : html` data-open open`}><form method="post" action="/nodes/${node.name}/drain">${hiddenFields(frame)}<div class="hd"><h2 id="node-drain-h">Drain ${node.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in col">${
    open?.error === undefined ? '' : html`<div class="note bad" role="alert">${icon(frame, 's-failed')}<p>${open.error}</p></div>`
  }<p>${vms === 0 ? 'It has no VM.' : `${many(vms, 'VM')} ${vms === 1 ? 'moves' : 'move'} to other nodes; those that run go on running.`} It takes no new VMs until it is opened again. What fits nowhere else stays, and is named.</p><div hx-get="/ui/nodes/${node.id}/drain-plan" hx-trigger="intersect once" hx-target="#drain-plan" hx-swap="outerMorph">${nodeDrainPlan(frame, open?.plan ?? null)}</div>${selectField(frame, { id: 'node-drain-concurrency', name: 'concurrency', label: 'VMs that move at once', value: '2', choices, error: undefined })}</div><div class="ft"><a class="btn" href="/nodes/${node.name}" data-do="close">Cancel</a>${changeButton(frame, { text: `Drain ${node.name}`, look: 'main', id: 'node-drain-go' })}</div></form></dialog>`
}
