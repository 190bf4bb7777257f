// The list of operations: the running ones as cards, then all.
import { html } from 'hono/html'
import type { Operation } from '../../src/model/operation.ts'
import { timeTag } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { asOf, emptyNote } from './note.ts'
import { operationPercent, operationResult, operationTitle } from './operation-words.ts'
import { operationCard } from './operation.ts'
import { operationStateWords, state } from './state.ts'
import { filterForm, pager, viewLinks, type ListState, type View } from './table.ts'

export const operationListDefaults = { sort: '-created', limit: 25 } as const

export type OperationList = {
  readonly items: readonly Operation[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly running: readonly Operation[]
  readonly mistake: string | null
}

const views: readonly View[] = [
  { text: 'All', q: '' },
  { text: 'Running', q: 'state:running', icon: 's-busy', tone: 'go' },
  { text: 'Failed', q: 'state:failed', icon: 's-failed', tone: 'bad' },
  { text: 'Cancelled', q: 'state:cancelled', icon: 's-cancelled' },
]

export function operationsPage(frame: Frame, data: OperationList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Operations</h1>${asOf(frame)}</div><p>What the cluster was told to do. An operation outlives the node it began on.</p></div></div>
<div class="col wide">${viewLinks(frame, data.list, views, operationListDefaults)}
${filterForm(data.list, { label: 'Filter operations', placeholder: 'target:web, state:failed, -state:done, node:n1', target: '#operations', defaults: operationListDefaults })}</div>
${runningCards(frame, data.running)}
${operationSection(frame, data)}`
}

/** Cards of what runs: a live cell. */
export function runningCards(frame: Frame, running: readonly Operation[]): Html {
  if (running.length === 0) return html`<div id="op-running"></div>`
  return html`<div id="op-running"><section class="col wide" aria-label="Running">${running.map((operation) => operationCard(frame, operation))}</section></div>`
}

function operationSection(frame: Frame, data: OperationList): Html {
  if (data.items.length === 0) {
    const text = data.mistake ?? (data.list.q === '' ? 'Starting, stopping or deleting a VM is an operation.' : `Nothing fits “${data.list.q}”.`)
    return html`<section class="card" id="operations" aria-label="Operation list">${emptyNote(frame, { icon: 'ops', title: data.mistake === null ? 'No operations' : 'This filter cannot be read', text })}</section>`
  }
  return html`<section class="card live" id="operations" aria-label="Operation list">${operationTable(frame, data.items, { id: 'ops', rows: true })}${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#operations', defaults: operationListDefaults, noun: 'operations' })}</section>`
}

/** The table, also as it stands on the overview. */
export function operationTable(frame: Frame, operations: readonly Operation[], options: { readonly id: string; readonly rows: boolean }): Html {
  return html`<table role="table" class="tbl cards${options.rows ? ' stick' : ''}"${options.rows ? html` data-rows` : ''}><caption class="vh">Operations, newest first</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Operation</th><th role="columnheader" scope="col">Node</th><th role="columnheader" scope="col" class="w2">By</th><th role="columnheader" scope="col" class="w1">Started</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col" class="w1">Result</th></tr></thead><tbody role="rowgroup" id="${options.id}">${operations.map((operation) => operationRow(frame, operation))}</tbody></table>`
}

function operationRow(frame: Frame, operation: Operation): Html {
  const { status } = operation
  return html`<tr role="row" id="oprow-${operation.id}"><th role="rowheader" class="a-name" scope="row"><a class="name" href="/operations/${operation.id}">${operationTitle(operation)}</a></th><td role="cell" class="a-sub dim">${status.node ?? '–'}</td><td role="cell" class="w2 dim">${status.actor}</td><td role="cell" class="w1 dim nowrap">${timeTag(frame, status.startedAt)}</td><td role="cell" class="a-end">${operationStateCell(frame, operation)}</td><td role="cell" class="w1 dim">${operationResultCell(frame, operation)}</td></tr>`
}

/** Live cells of a row. */
export function operationStateCell(frame: Frame, operation: Operation): Html {
  const word = operationStateWords[operation.status.state]
  const percent = operationPercent(operation)
  return html`<span id="opstate-${operation.id}">${
    operation.status.state === 'running'
      ? html`<span class="col"><span class="row far small">${state(frame, word, { text: `${percent} %` })}</span><progress max="100" value="${percent}" aria-label="${operationTitle(operation)}">${percent} %</progress></span>`
      : state(frame, word)
  }</span>`
}

export function operationResultCell(frame: Frame, operation: Operation): Html {
  return html`<span id="opresult-${operation.id}">${operationResult(frame, operation)}</span>`
}
