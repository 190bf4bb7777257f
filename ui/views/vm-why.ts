// Why a VM is as it is: reasons with their causes, and what the planner thinks of each node.
import { html } from 'hono/html'
import type { Explanation, Reason } from '../../src/model/explanation.ts'
import type { Vm } from '../../src/model/vm.ts'
import { moment } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { vmDeleteDialog, vmHead, vmMenu } from './vm.ts'

const topics: Readonly<Record<Reason['topic'], string>> = { state: 'State', operation: 'Operation', wish: 'Wish', place: 'Place', pending: 'Pending' }

export function vmWhyPage(frame: Frame, vm: Vm, explanation: Explanation): Html {
  return html`${vmHead(frame, vm, 'why')}
<div class="grid"><div class="c8 col wide"><section class="card" aria-labelledby="w-h"><header><h2 id="w-h">${explanation.summary}</h2></header><div class="in"><dl class="kv">${explanation.reasons.map((reason) => html`<dt>${topics[reason.topic]}</dt><dd>${reasonText(frame, reason)}</dd>`)}</dl></div></section></div>
<div class="c4 col wide">${placementCard(frame, explanation)}</div></div>${vmMenu(frame, vm)}${vmDeleteDialog(frame, vm, null)}`
}

function reasonText(frame: Frame, reason: Reason): Html {
  const { cause } = reason
  return html`<p>${reason.text}${reason.since === null ? '' : html` <span class="dim small">since ${moment(frame, reason.since)}</span>`}</p>${
    cause === null ? '' : html`<p class="small dim">By ${cause.actor}${cause.operationId === undefined ? '' : html`, <a href="/operations/${cause.operationId}">operation</a>${cause.step === undefined ? '' : ` at step ${cause.step}`}`}, <a href="/events?filter=${encodeURIComponent(cause.commandId)}" title="${cause.commandId}">command …${cause.commandId.slice(-8)}</a></p>`
  }${reason.remedy === null ? '' : html`<p class="small">${icon(frame, 's-info')} ${reason.remedy}</p>`}`
}

function placementCard(frame: Frame, explanation: Explanation): Html {
  return html`<section class="card" aria-labelledby="pl-h"><header><h2 id="pl-h">Nodes for it now</h2></header><div class="in"><ul>${explanation.placement.considered.map((each) => html`<li>${icon(frame, each.fits ? 'check' : 'x', each.fits ? 'ok' : 'dim')} <span class="b">${each.node}</span> <span class="small dim">${each.reason}</span></li>`)}</ul></div></section>`
}
