// The list of VMs: views, filter, table, bulk bar.
import { html } from 'hono/html'
import type { Vm, VmPhase } from '../../src/model/vm.ts'
import { ageTag, count, many, mebibytes, unknown } from './figures.ts'
import { changeLink, hiddenFields } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'
import { state, vmStateWords } from './state.ts'
import { columnHeads, filterForm, pager, viewLinks, type Column, type ListState, type View } from './table.ts'
import { labelTexts, vmPath } from './vm-words.ts'

export const vmListDefaults = { sort: 'name', limit: 25 } as const

export type VmList = {
  readonly items: readonly Vm[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly counts: Readonly<Record<string, number>>
  /** CPU of the last hour, by id. */
  readonly sparks: ReadonlyMap<string, Html>
  /** What is wrong with the filter or cursor; the list is empty then. */
  readonly mistake: string | null
}

export function vmsPage(frame: Frame, data: VmList): Html {
  const total = Object.values(data.counts).reduce((sum, value) => sum + value, 0)
  return html`<div class="head"><div><div class="row title"><h1>Virtual machines</h1>${asOf(frame)}</div></div><div class="row">${changeLink(frame, { href: '/vms/new', text: 'Create VM', icon: 'plus', look: 'main', key: 'c' })}</div></div>
<div class="col wide">
${viewLinks(frame, data.list, vmViews(data.counts, total), vmListDefaults)}
${filterForm(data.list, { label: 'Filter VMs', placeholder: 'Name, label:tier=web, node:n1, phase:running, -label:test', target: '#vms', defaults: vmListDefaults })}
</div>
<div id="vms-news" role="status"></div>
${vmSection(frame, data)}
${bulkBar(frame)}
<div id="bulk-results"></div>
${rowMenu(frame)}
${bulkDeleteDialog(frame)}`
}

function vmViews(counts: Readonly<Record<string, number>>, total: number): View[] {
  const view = (phase: VmPhase, text: string): View => {
    const word = vmStateWords[phase]
    return { text, q: `phase:${phase}`, count: counts[phase] ?? 0, icon: word.icon, tone: word.tone === 'off' ? '' : word.tone }
  }
  const always = [view('running', 'Running'), view('stopped', 'Off')]
  const some = [view('paused', 'Paused'), view('failed', 'Failed'), view('unknown', 'Unknown')].filter((entry) => (entry.count ?? 0) > 0)
  return [{ text: 'All', q: '', count: total }, ...always, ...some]
}

const columns: readonly Column[] = [
  { text: 'Name', sort: 'name' },
  { text: 'State', sort: 'phase' },
  { text: 'Node', sort: 'node', look: 'w0' },
  { text: 'Load', look: 'w1' },
  { text: 'CPU', sort: 'cpus', look: 'num w2' },
  { text: 'Memory', sort: 'memory', look: 'num' },
  { text: 'Address', sort: 'address', look: 'w2' },
  { text: 'Age', sort: 'created', look: 'w3 num' },
  { text: 'Actions', hidden: true },
]

/** The part that sorting, paging and the filter swap. */
export function vmSection(frame: Frame, data: VmList): Html {
  const { list } = data
  const direction = list.sort.startsWith('-') ? 'descending' : 'ascending'
  if (data.items.length === 0) return html`<section class="card" id="vms" aria-label="VM list">${nothing(frame, data)}</section>`
  return html`<section class="card live" id="vms" aria-label="VM list">
<table role="table" class="tbl cards stick" data-rows><caption class="vh">Virtual machines, sorted by ${list.sort.replace('-', '')}, ${direction}</caption>
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col"><label class="hit"><input class="all" type="checkbox"><span class="vh">Select all on this page</span></label></th>${columnHeads(frame, columns, list, { target: '#vms', defaults: vmListDefaults })}</tr></thead>
<tbody role="rowgroup">${data.items.map((vm) => vmRow(frame, vm, data.sparks.get(vm.id)))}</tbody></table>
${pager(list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#vms', defaults: vmListDefaults, noun: data.total === 1 ? 'VM' : 'VMs' })}
</section>`
}

function nothing(frame: Frame, data: VmList): Html {
  if (data.mistake !== null) return emptyNote(frame, { icon: 'filter', title: 'This filter cannot be read', text: data.mistake, action: html`<a class="btn" href="/vms">Show all</a>` })
  if (data.list.q !== '') return emptyNote(frame, { icon: 'filter', title: 'No VM fits', text: `Nothing fits “${data.list.q}”.`, action: html`<a class="btn" href="/vms">Show all</a>` })
  return emptyNote(frame, { icon: 'vm', title: 'No VMs yet', text: 'A name and an image are enough to create one.', action: changeLink(frame, { href: '/vms/new', text: 'Create VM', icon: 'plus' }) })
}

function vmRow(frame: Frame, vm: Vm, spark: Html | undefined): Html {
  return html`<tr role="row" id="row-${vm.id}"><td role="cell" class="a-pick"><label class="hit"><input class="pick" type="checkbox" name="id" value="${vm.id}" data-name="${vm.name}"><span class="vh">Select ${vm.name}</span></label></td><th role="rowheader" scope="row" class="a-name nowrap"><a class="name" href="${vmPath(vm)}">${vm.name}</a><span class="tags">${labelTexts(vm.labels).slice(0, 3).map((label) => html`<span class="tag">${label}</span>`)}</span></th><td role="cell" class="a-sub nowrap">${vmStateCell(frame, vm)}</td><td role="cell" class="w0 nowrap">${vmNodeCell(vm)}</td><td role="cell" class="w1">${spark ?? unknown}</td><td role="cell" class="num w2">${count(vm.spec.cpus)}</td><td role="cell" class="num a-end nowrap">${mebibytes(vm.spec.memoryMiB)}</td><td role="cell" class="w2 mono nowrap">${vmAddressCell(vm)}</td><td role="cell" class="w3 num nowrap dim">${ageTag(frame, vm.status.createdAt)}</td><td role="cell" class="a-act num"><button type="button" class="btn bare sq" popovertarget="vm-menu" data-path="${vmPath(vm)}" data-name="${vm.name}" aria-label="Actions for ${vm.name}">${icon(frame, 'more')}</button></td></tr>`
}

/** Live cells of a row; each has an id of its own. */
export function vmStateCell(frame: Frame, vm: Vm): Html {
  return html`<span id="state-${vm.id}">${state(frame, vmStateWords[vm.status.phase])}<span class="p-only dim"> · ${vm.status.node ?? 'no node'}</span></span>`
}

export function vmNodeCell(vm: Vm): Html {
  return html`<span id="node-${vm.id}">${vm.status.node === null ? html`<span class="dim">${unknown}</span>` : html`<a class="plain" href="/nodes/${vm.status.node}">${vm.status.node}</a>`}</span>`
}

export function vmAddressCell(vm: Vm): Html {
  return html`<span id="addr-${vm.id}">${vm.status.addresses[0] ?? unknown}</span>`
}

/** Rows come and go by others' doing: they are told, not moved under the pointer. */
export function vmNews(fresh: number, gone: number, url: string): Html {
  if (fresh === 0 && gone === 0) return html`<div id="vms-news" role="status"></div>`
  const parts = [fresh > 0 ? `${count(fresh)} new` : '', gone > 0 ? `${count(gone)} gone` : ''].filter((part) => part !== '')
  return html`<div id="vms-news" role="status"><div class="note go"><p>${parts.join(', ')}. <a href="${url}">Refresh</a></p></div></div>`
}

function bulkBar(frame: Frame): Html {
  const button = (action: string, symbol: string, text: string) =>
    html`<button type="button" class="btn bare" data-do="bulk" data-action="${action}" data-change${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>${icon(frame, symbol)}${text}</button>`
  return html`<form class="bulk" id="bulk" method="post" action="/vms/bulk" hx-post="/vms/bulk" hx-swap="none" aria-label="Selected VMs" hidden>${hiddenFields(frame)}<input type="hidden" name="action" value=""><input type="hidden" name="confirm" value=""><output class="b">0 selected</output><span class="sep p-hide"></span>${button('start', 'play', 'Start')}${button('stop', 'power', 'Shut down')}${button('migrate', 'migrate', 'Migrate')}<button type="button" class="btn bare risk" data-do="bulk-delete" data-change${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>${icon(frame, 'trash')}Delete</button><button type="button" class="btn bare sq" data-do="clear" aria-label="Clear selection">${icon(frame, 'x')}</button></form>`
}

function rowMenu(frame: Frame): Html {
  const act = (action: string, symbol: string, text: string) => html`<button type="submit" data-change data-act="${action}" formaction="" hx-post="" hx-swap="none">${icon(frame, symbol)}${text}</button>`
  return html`<div class="menu" id="vm-menu" popover><form method="post">${hiddenFields(frame)}<a data-act="console" href="/vms">${icon(frame, 'console')}Open console</a>${act('start', 'play', 'Start')}${act('stop', 'power', 'Shut down')}${act('restart', 'restart', 'Restart')}<hr><a class="bad" data-act="delete" href="/vms">${icon(frame, 'trash')}Delete…</a></form></div>`
}

function bulkDeleteDialog(frame: Frame): Html {
  return html`<dialog id="bulk-delete" aria-labelledby="bulk-delete-h"><form method="dialog"><div class="hd"><h2 id="bulk-delete-h">Delete the selected VMs</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in"><p>They are powered off and deleted with their disks. This cannot be undone.</p><p class="mono small" data-names></p><div class="field"><label for="bulk-confirm">Type <b data-expect>delete 0</b> to confirm</label><input type="text" class="input" id="bulk-confirm" data-confirm="delete 0" autocomplete="off" autocapitalize="none" spellcheck="false"></div></div><div class="ft"><button class="btn" type="button" data-do="close">Cancel</button><button type="button" class="btn main risk" data-armed aria-disabled="true" data-do="bulk" data-action="delete">Delete</button></div></form></dialog>`
}

export type BulkResult = { readonly name: string; readonly path: string; readonly ok: boolean; readonly text: string; readonly code: string }

/** What became of each VM of a bulk action. */
export function bulkResults(frame: Frame, action: string, results: readonly BulkResult[]): Html {
  const failed = results.filter((result) => !result.ok).length
  const title = failed === 0 ? `${action}: ${many(results.length, 'VM')} under way` : `${action}: ${count(failed)} of ${many(results.length, 'VM')} refused`
  return html`<section class="card${failed > 0 ? ' bad' : ' go'}" id="bulk-results" aria-labelledby="bulk-h" data-drop><header><h2 id="bulk-h">${title}</h2><button type="button" class="btn bare sq" data-do="empty" data-for="#bulk-results" aria-label="Dismiss">${icon(frame, 'x')}</button></header><ul class="list">${results.map(
    (result) => html`<li>${icon(frame, result.ok ? 's-ok' : 's-failed', result.ok ? 'ok' : 'bad')}<div class="grow"><a class="plain b" href="${result.path}">${result.name}</a><p>${result.text}${result.code === '' ? '' : html` <code>${result.code}</code>`}</p></div></li>`,
  )}</ul></section>`
}
