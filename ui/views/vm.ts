// The page of a VM: head with actions, running operation, details, disks, networks, events, edit form.
import { html } from 'hono/html'
import type { Event } from '../../src/model/event.ts'
import { shortId } from '../../src/model/id.ts'
import type { Operation } from '../../src/model/operation.ts'
import type { Vm } from '../../src/model/vm.ts'
import { eventList } from './events.ts'
import { agoTag, count, mebibytes, unknown } from './figures.ts'
import { changeButton, changeLink, confirmField, hiddenFields } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf } from './note.ts'
import { operationCard } from './operation.ts'
import { state, vmStateWords } from './state.ts'
import { labelTexts, vmOrigin, vmPath, vmSize } from './vm-words.ts'

export type VmTab = 'overview' | 'console' | 'edit' | 'events' | 'why'

export type VmDetails = {
  readonly vm: Vm
  readonly operation: Operation | null
  readonly events: readonly Event[]
  readonly charts: Html
  readonly migrations: Html
  /** Set where the page was asked with its delete dialog open. */
  readonly deleting: { readonly error?: string } | null
}

/** Name, state, actions and tabs: the top of each of a VM's pages. */
export function vmHead(frame: Frame, vm: Vm, tab: VmTab): Html {
  const path = vmPath(vm)
  const tabs = [['overview', 'Overview', path], ['console', 'Console', `${path}/console`], ['edit', 'Edit', `${path}/edit`], ['events', 'Events', `${path}/events`], ['why', 'Why?', `${path}/why`]] as const
  return html`<div class="head"><div><div class="row title"><h1>${vm.name}</h1>${vmHeadState(frame, vm)}${labelTexts(vm.labels).length === 0 ? '' : html`<span class="pill">${icon(frame, 'tag')}${labelTexts(vm.labels).join(', ')}</span>`}${asOf(frame)}</div>${vmHeadLine(vm)}</div>${vmActions(frame, vm)}</div>
<nav class="tabs" aria-label="VM">${tabs.map(([name, text, href]) => html`<a href="${href}"${name === tab ? html` aria-current="page"` : ''}>${text}</a>`)}</nav>`
}

/** Live cells of the head. */
export function vmHeadState(frame: Frame, vm: Vm): Html {
  return html`<span id="vm-state">${state(frame, vmStateWords[vm.status.phase], { pill: true })}</span>`
}

export function vmHeadLine(vm: Vm): Html {
  return html`<p id="vm-line">${vmSize(vm)} · ${vmOrigin(vm)} · ${vm.status.node === null ? 'no node yet' : html`<a href="/nodes/${vm.status.node}">${vm.status.node}</a>`}</p>`
}

type Action = 'start' | 'stop' | 'restart' | 'pause' | 'resume' | 'reset'

/** Why an action makes no sense in this state; null where it does. */
export function vmActionRefusal(vm: Vm, action: Action): string | null {
  const { phase } = vm.status
  const word = vmStateWords[phase].word.toLowerCase()
  if (phase === 'deleting') return `${vm.name} is being deleted`
  if (phase === 'migrating') return `${vm.name} is on its way to another node`
  switch (action) {
    case 'start':
      return phase === 'stopped' || phase === 'failed' || phase === 'pending' || phase === 'suspended' || phase === 'unknown' ? null : `${vm.name} is ${word}`
    case 'resume':
      return phase === 'paused' ? null : `${vm.name} is not paused`
    case 'pause':
    case 'reset':
      return phase === 'running' ? null : `${vm.name} is not running`
    case 'stop':
    case 'restart':
      return phase === 'stopped' || phase === 'suspended' ? `${vm.name} is ${word}` : null
  }
}

/** The buttons. Each has its place in every state; what makes no sense now is refused with the reason. */
export function vmActions(frame: Frame, vm: Vm): Html {
  const path = vmPath(vm)
  const act = (action: Action, text: string, symbol: string, look = '') =>
    changeButton(frame, { text, icon: symbol, look, path: `${path}/${action}`, refusal: vmActionRefusal(vm, action), command: `${text} ${vm.name}`, id: `act-${action}` })
  const off = vm.status.phase === 'stopped' || vm.status.phase === 'failed' || vm.status.phase === 'pending'
  return html`<form method="post" class="row" id="vm-actions">${hiddenFields(frame, `${vm.id}.${vm.revision}`)}<span class="group"><a class="btn" href="${path}/console">${icon(frame, 'console')}Console</a>${
    off ? act('start', 'Start', 'play') : act('stop', 'Shut down', 'power')
  }${act('restart', 'Restart', 'restart')}</span>${vm.status.phase === 'paused' ? act('resume', 'Resume', 'play') : act('pause', 'Pause', 'pause')}${changeLink(frame, { href: `${path}/migrate`, text: 'Migrate', icon: 'migrate' })}<button type="button" class="btn sq" popovertarget="vm-menu" aria-label="More actions">${icon(frame, 'more')}</button></form>`
}

/** Actions that lose something: in the menu, deletion with typed confirmation. Outside all live cells. */
export function vmMenu(frame: Frame, vm: Vm): Html {
  const path = vmPath(vm)
  const entry = (action: string, text: string, symbol: string) =>
    html`<button type="submit" class="bad" data-change formaction="${path}/${action}" hx-post="${path}/${action}" hx-swap="none" data-command="${text} ${vm.name}"${frame.refusal === null ? '' : html` aria-disabled="true"`}>${icon(frame, symbol)}${text}</button>`
  return html`<div class="menu" id="vm-menu" popover><form method="post" data-fresh-key>${hiddenFields(frame)}<a href="${path}/edit">${icon(frame, 'edit')}Edit</a><button type="button" data-do="copy" data-text="${vm.id}">${icon(frame, 'copy')}Copy id</button>${vm.status.phase === 'unknown' ? html`<a class="bad" href="${path}/recover" data-command="Recover ${vm.name} elsewhere…">${icon(frame, 'restart')}Recover elsewhere…</a>` : ''}<hr>${entry('kill', 'Cut the power', 'stop')}${entry('reset', 'Reset', 'restart')}<a class="bad" href="${path}/delete" data-do="show" data-for="#delete" data-command="Delete ${vm.name}…">${icon(frame, 'trash')}Delete…</a></form></div>`
}

export function vmDeleteDialog(frame: Frame, vm: Vm, open: { readonly error?: string } | null): Html {
  const path = vmPath(vm)
  return html`<dialog id="delete" aria-labelledby="delete-h"${open === null ? '' : html` data-open open`}><form method="post" action="${path}/delete">${hiddenFields(frame)}<div class="hd"><h2 id="delete-h">Delete ${vm.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in"><p>It is powered off and deleted with ${vm.spec.disks.length === 1 ? 'its disk' : `its ${count(vm.spec.disks.length)} disks`}. This cannot be undone.</p>${confirmField(frame, { id: 'delete-confirm', text: vm.name, error: open?.error })}</div><div class="ft"><a class="btn" href="${path}" data-do="close">Cancel</a>${changeButton(frame, { text: `Delete ${vm.name}`, look: 'main risk', armed: true, id: 'delete-go' })}</div></form></dialog>`
}

export function vmPage(frame: Frame, data: VmDetails): Html {
  const { vm } = data
  return html`${vmHead(frame, vm, 'overview')}
${vmTrouble(frame, vm)}
${vmOperation(frame, data.operation)}
${data.charts}
<div class="grid"><div class="c8 col wide">${disksCard(frame, vm)}${nicsCard(vm)}${data.migrations}${vmEventsCard(frame, vm, data.events)}</div>
<div class="c4 col wide">${vmDetailsCard(frame, vm)}</div></div>
${vmMenu(frame, vm)}
${vmDeleteDialog(frame, vm, data.deleting)}`
}

/** Why it failed, what it waits for, or that a change counts only from the next start: a live cell. */
export function vmTrouble(frame: Frame, vm: Vm): Html {
  const { message, phase, conditions } = vm.status
  const bad = phase === 'failed'
  const restart = conditions.find((condition) => condition.type === 'RestartNeeded' && condition.status === 'true')
  return html`<div id="vm-trouble" class="col">${
    message === '' ? '' : html`<div class="note ${bad ? 'bad' : 'warn'}">${icon(frame, bad ? 's-failed' : 's-warn')}<div class="grow"><p class="b">${bad ? `${vm.name} failed` : `${vm.name}: ${vmStateWords[phase].word.toLowerCase()}`}</p><p>${message}</p></div></div>`
  }${restart === undefined ? '' : html`<div class="note">${icon(frame, 's-info')}<p>${restart.message}</p></div>`}</div>`
}

/** The running operation, or the one that ended just now: a live cell. */
export function vmOperation(frame: Frame, operation: Operation | null): Html {
  return html`<div id="vm-op">${operation === null ? '' : operationCard(frame, operation)}</div>`
}

/** Addresses and figures: a live cell. */
export function vmDetailsCard(frame: Frame, vm: Vm): Html {
  const rows: [string, Html | string][] = [
    ['Address', vm.status.addresses.length === 0 ? unknown : html`<span class="mono">${vm.status.addresses.map((address, at) => html`${at === 0 ? '' : html`<br>`}${address}`)}</span>`],
    ['Wanted', vmStateWords[vm.spec.runState].word],
    ['CPU', count(vm.spec.cpus)],
    ['Memory', mebibytes(vm.spec.memoryMiB)],
    ['Firmware', vm.spec.firmware === 'uefi' ? 'UEFI' : 'BIOS'],
    ['Placement', vm.spec.placement.node ?? 'any node that fits'],
    ['Project', vm.project],
    ['Created', agoTag(frame, vm.status.createdAt)],
    ['Revision', html`${count(vm.revision)} <span class="dim">· owner epoch ${count(vm.status.epoch)}</span>`],
    ['Id', html`<span class="mono" title="${vm.id}">…${shortId(vm.id)}</span>`],
  ]
  return html`<section class="card live" id="vm-details" aria-labelledby="k-h"><header><h2 id="k-h">Details</h2>${changeLink(frame, { href: `${vmPath(vm)}/edit`, text: 'Edit', icon: 'edit', look: 'bare' })}</header><div class="in"><dl class="kv">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></div></section>`
}

function disksCard(frame: Frame, vm: Vm): Html {
  const head = html`<header><h2 id="d-h">Disks</h2></header>`
  if (vm.spec.disks.length === 0) return html`<section class="card" aria-labelledby="d-h">${head}<div class="in dim">This VM has no disk.</div></section>`
  return html`<section class="card" aria-labelledby="d-h">${head}<table role="table" class="tbl cards"><caption class="vh">Disks</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">Image</th><th role="columnheader" scope="col" class="w1">Pool</th><th role="columnheader" scope="col" class="num">Size</th></tr></thead><tbody role="rowgroup">${vm.spec.disks.map(
    (disk, at) => html`<tr role="row"><th role="rowheader" scope="row" class="a-name">${icon(frame, 'disk', 'dim')} <span class="b">${disk.name}</span> <span class="dim small">${disk.bus}${at === 0 ? ', boot' : ''}</span></th><td role="cell" class="a-sub">${disk.image ?? html`<span class="dim">blank</span>`}</td><td role="cell" class="w1">${disk.pool}</td><td role="cell" class="num a-end">${disk.sizeGiB === undefined ? html`<span class="dim">as its image</span>` : `${disk.sizeGiB} GiB`}</td></tr>`,
  )}</tbody></table></section>`
}

function nicsCard(vm: Vm): Html {
  const head = html`<header><h2 id="n-h">Networks</h2></header>`
  if (vm.spec.nics.length === 0) return html`<section class="card" aria-labelledby="n-h">${head}<div class="in dim">This VM is on no network.</div></section>`
  return html`<section class="card" aria-labelledby="n-h">${head}<table role="table" class="tbl cards"><caption class="vh">Network interfaces</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Network</th><th role="columnheader" scope="col">MAC address</th></tr></thead><tbody role="rowgroup">${vm.spec.nics.map(
    (nic) => html`<tr role="row"><th role="rowheader" scope="row" class="a-name"><span class="b">${nic.network}</span></th><td role="cell" class="a-end mono">${nic.mac ?? unknown}</td></tr>`,
  )}</tbody></table></section>`
}

/** What happened to it lately: a live cell. */
export function vmEventsCard(frame: Frame, vm: Vm, events: readonly Event[]): Html {
  return html`<section class="card live" id="vm-events" aria-labelledby="e-h"><header><h2 id="e-h">Lately</h2><a href="${vmPath(vm)}/events">All its events</a></header><div class="in">${events.length === 0 ? html`<p class="dim">Nothing is on record.</p>` : eventList(frame, events)}</div></section>`
}

export function vmEventsPage(frame: Frame, vm: Vm, events: readonly Event[]): Html {
  return html`${vmHead(frame, vm, 'events')}<section class="card live" aria-label="Events of ${vm.name}"><div class="in">${events.length === 0 ? html`<p class="dim">Nothing is on record.</p>` : eventList(frame, events)}</div></section>${vmMenu(frame, vm)}${vmDeleteDialog(frame, vm, null)}`
}

/** What stands there after it was deleted while somebody looked. */
export function vmGone(frame: Frame): { readonly state: Html; readonly note: Html } {
  return {
    state: html`<span id="vm-state">${state(frame, { word: 'Deleted', tone: 'off', icon: 'trash' }, { pill: true })}</span>`,
    note: html`<div id="page-note"><div class="note" role="status">${icon(frame, 'trash')}<p>This VM was deleted. <a href="/vms">All VMs</a></p></div></div>`,
  }
}
