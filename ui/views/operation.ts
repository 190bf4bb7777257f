// An operation: as a card with its steps, and its page.
import { html } from 'hono/html'
import type { Operation } from '../../src/model/operation.ts'
import { clock, duration, moment, unknown } from './figures.ts'
import { changeButton, hiddenFields } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf } from './note.ts'
import { operationPercent, operationProgressTitle, operationTitle, progressLine, stepWord } from './operation-words.ts'
import { operationWord, state } from './state.ts'

/** The card of an operation with its steps; Cancel while it can be cancelled. */
export function operationCard(frame: Frame, operation: Operation): Html {
  const { status } = operation
  const word = operationWord(operation)
  const active = status.state === 'running' || status.state === 'queued'
  const title = active ? operationProgressTitle(operation) : `${operationTitle(operation)}: ${word.word.toLowerCase()}`
  const percent = operationPercent(operation)
  const heading = `op-h-${operation.id}`
  return html`<section class="card ${status.state === 'failed' ? 'bad' : 'go'}" id="op-${operation.id}" aria-labelledby="${heading}"><header><div><h2 id="${heading}"><a class="plain" href="/operations/${operation.id}">${title}</a></h2><p>Started ${clock(frame, status.startedAt)} by ${status.actor}${status.node === null ? '' : ` on ${status.node}`}.</p></div>${cancelForm(frame, operation)}</header>
<div class="in col wide"><div class="col"><div class="row far">${state(frame, word)}<span><b>${percent}&nbsp;%</b></span></div><progress max="100" value="${percent}" aria-label="${operationTitle(operation)}">${percent} %</progress>${progressLine(operation) === '' ? '' : html`<p class="dim small">${progressLine(operation)}</p>`}</div>${status.error === null ? '' : html`<p>${status.error.message} <code>${status.error.code}</code></p>`}${stepList(frame, operation)}</div></section>`
}

function cancelForm(frame: Frame, operation: Operation): Html {
  if (!operation.status.cancellable) return html``
  return html`<form method="post">${hiddenFields(frame, `cancel.${operation.id}`)}${changeButton(frame, { text: 'Cancel', icon: 'x', path: `/operations/${operation.id}/cancel`, id: `cancel-${operation.id}`, command: `Cancel: ${operationTitle(operation)}` })}</form>`
}

export function stepList(frame: Frame, operation: Operation): Html {
  return html`<ol class="steps">${operation.status.steps.map((step) => {
    const ms = step.startedAt === null ? null : (step.endedAt === null ? frame.nowMs : Date.parse(step.endedAt)) - Date.parse(step.startedAt)
    const time = ms === null || (step.endedAt === null && step.state !== 'running') ? '' : duration(ms)
    switch (step.state) {
      case 'done':
        return html`<li>${icon(frame, 'check', 'ok')}<span>${stepWord(step.name)}</span><span>${time}</span></li>`
      case 'running':
        return html`<li>${icon(frame, 's-busy', 'go spin')}<span class="b">${stepWord(step.name)}</span><span>${time}</span></li>`
      case 'failed':
        return html`<li>${icon(frame, 's-failed', 'bad')}<span class="b">${stepWord(step.name)}</span><span>failed${time === '' ? '' : ` after ${time}`}</span></li>`
      case 'cancelled':
        return html`<li class="next">${icon(frame, 's-cancelled')}<span>${stepWord(step.name)}</span><span>cancelled</span></li>`
      case 'waiting':
        return html`<li class="next">${icon(frame, 's-queued')}<span>${stepWord(step.name)}</span><span></span></li>`
    }
  })}</ol>`
}

export function operationPage(frame: Frame, operation: Operation): Html {
  const { spec } = operation
  const target = spec.target.kind === 'node' ? html`<a href="/nodes/${spec.target.name}">${spec.target.name}</a>` : spec.target.kind === 'vm' ? html`<a href="/vms/${spec.target.id}">${spec.target.name}</a>` : spec.target.name
  return html`<div class="head"><div><div class="row title"><h1>${operationTitle(operation)}</h1>${operationState(frame, operation)}${asOf(frame)}</div><p>${target}${operation.status.node === null ? '' : html` on <a href="/nodes/${operation.status.node}">${operation.status.node}</a>`}</p></div></div>
<div class="grid"><div class="c8 col wide">${operationLive(frame, operation)}</div><div class="c4 col wide">${operationDetails(frame, operation)}</div></div>`
}

/** Live cells of the page. */
export function operationState(frame: Frame, operation: Operation): Html {
  return html`<span id="op-state">${state(frame, operationWord(operation), { pill: true })}</span>`
}

export function operationLive(frame: Frame, operation: Operation): Html {
  return html`<div id="op-card">${operationCard(frame, operation)}</div>`
}

export function operationDetails(frame: Frame, operation: Operation): Html {
  const { spec, status } = operation
  const ended = status.endedAt
  return html`<section class="card live" id="op-details" aria-labelledby="od-h"><header><h2 id="od-h">Details</h2></header><div class="in"><dl class="kv"><dt>Started</dt><dd>${moment(frame, status.startedAt)}</dd><dt>Ended</dt><dd>${ended === null ? unknown : moment(frame, ended)}</dd><dt>Took</dt><dd>${ended === null ? unknown : duration(Date.parse(ended) - Date.parse(status.startedAt))}</dd><dt>By</dt><dd>${status.actor}</dd><dt>Force</dt><dd>${spec.force ? 'yes' : 'no'}</dd>${spec.timeoutSeconds === 0 ? '' : html`<dt>Time allowed</dt><dd>${duration(spec.timeoutSeconds * 1000)}</dd>`}<dt>Id</dt><dd class="mono">${operation.id}</dd></dl></div></section>`
}
