// Migrations as people see them: the page that begins one, and the card of those that ended.
import { html } from 'hono/html'
import type { PlacementView } from '../../src/model/explanation.ts'
import type { Migration } from '../../src/model/migration.ts'
import type { Vm } from '../../src/model/vm.ts'
import { bytes, duration, timeTag, unknown } from './figures.ts'
import { changeButton, hiddenFields, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { problemNote, type Problem } from './note.ts'
import { state, type StateWord } from './state.ts'
import { vmDeleteDialog, vmHead, vmMenu } from './vm.ts'
import { vmPath } from './vm-words.ts'

export type MigrateForm = { readonly vm: Vm; readonly targets: PlacementView; readonly node: string; readonly bandwidth: string; readonly bandwidthError: string | undefined; readonly problem: Problem | null }

const outcomes: Readonly<Record<Migration['status']['outcome'], StateWord>> = {
  done: { word: 'Done', tone: 'ok', icon: 's-ok' },
  failed: { word: 'Failed', tone: 'bad', icon: 's-failed' },
  cancelled: { word: 'Cancelled', tone: 'off', icon: 's-cancelled' },
}

/** Why a VM cannot move now; null where it can. */
export function migrateRefusal(vm: Vm): string | null {
  switch (vm.status.phase) {
    case 'running':
    case 'paused':
    case 'stopped':
    case 'failed':
      return null
    case 'migrating':
      return `${vm.name} is on its way already`
    case 'unknown':
      return `nothing is heard of its host: bring it back, or recover ${vm.name} elsewhere once it is off`
    default:
      return `${vm.name} is ${vm.status.phase}`
  }
}

export function vmMigratePage(frame: Frame, data: MigrateForm): Html {
  const { vm, targets } = data
  const path = vmPath(vm)
  const live = vm.status.phase === 'running' || vm.status.phase === 'paused'
  const fitting = targets.considered.filter((each) => each.fits)
  const others = targets.considered.filter((each) => !each.fits)
  const wished = others.find((each) => each.node === data.node)
  const best = !fitting.some((each) => each.node === data.node)
  const refusal = migrateRefusal(vm) ?? (fitting.length === 0 ? 'no other node takes it' : null)
  return html`${vmHead(frame, vm, 'overview')}
<form class="card" method="post" action="${path}/migrate">${hiddenFields(frame)}<header><div><h2>Migrate ${vm.name}</h2><p>${live ? 'It goes on running while its disks and memory are copied; at the end it stands still for a moment.' : 'It is off: its disks are copied, then it belongs to the other node.'}</p></div></header><div class="in col wide">
${data.problem === null ? '' : problemNote(frame, data.problem)}${wished === undefined || data.problem !== null ? '' : html`<div class="note warn">${icon(frame, 's-warn', 'warn')}<div class="grow"><p>${wished.node} does not take ${vm.name}: it ${wished.reason}.</p></div></div>`}
<fieldset class="col"><legend class="b">Where to</legend>${fitting.length === 0 ? html`<p>No other node takes it now.</p>` : html`${target({ value: '', checked: best, text: 'Best fit', small: targets.node === null ? '' : `${targets.node}: ${targets.reason}` })}${fitting.map((each) => target({ value: each.node, checked: data.node === each.node, text: each.node, small: each.reason }))}`}</fieldset>
${others.length === 0 ? '' : html`<div class="col"><p class="b">Not possible</p><ul class="plain">${others.map((each) => html`<li>${icon(frame, 's-failed')} ${each.node} <span class="dim">${each.reason}</span></li>`)}</ul></div>`}
<div class="two">${textField(frame, { id: 'migrate-bandwidth', name: 'bandwidth', label: 'Bandwidth', value: data.bandwidth, numeric: true, suffix: 'MiB/s', error: data.bandwidthError, help: 'Empty: as fast as it goes.' })}</div>
<div class="note">${icon(frame, 's-info')}<p>${live ? `If anything fails before the end, ${vm.name} goes on where it is, and nothing is left on the other node.` : `If anything fails, ${vm.name} stays where it is.`}</p></div>
<div class="row">${changeButton(frame, { text: `Migrate ${vm.name}`, icon: 'migrate', look: 'main', id: 'migrate-go', refusal })}<a class="btn" href="${path}">Back to ${vm.name}</a></div></div></form>${vmMenu(frame, vm)}${vmDeleteDialog(frame, vm, null)}`
}

function target(choice: { readonly value: string; readonly checked: boolean; readonly text: string; readonly small: string }): Html {
  return html`<label class="check"><input type="radio" name="node" value="${choice.value}"${choice.checked ? html` checked` : ''}><span>${choice.text}<small>${choice.small}</small></span></label>`
}

/** Ended migrations of a VM or a node, the latest first: a live cell. */
export function migrationsCard(frame: Frame, migrations: readonly Migration[], subject: 'vm' | 'node'): Html {
  const head = html`<header><h2 id="mig-h">Migrations</h2></header>`
  if (migrations.length === 0) return html`<section class="card live" id="migrations" aria-labelledby="mig-h">${head}<div class="in dim">${subject === 'vm' ? 'It has not moved yet.' : 'No VM has come or gone yet.'}</div></section>`
  const name = (migration: Migration) => (subject === 'vm' ? '' : html`<a class="name" href="/vms/${migration.spec.vm.id}">${migration.spec.vm.name}</a> `)
  return html`<section class="card live" id="migrations" aria-labelledby="mig-h">${head}<table role="table" class="tbl cards"><caption class="vh">Ended migrations, the latest first</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">${subject === 'vm' ? 'Way' : 'VM and way'}</th><th role="columnheader" scope="col">Result</th><th role="columnheader" scope="col" class="num">Moved</th><th role="columnheader" scope="col" class="num">Took</th><th role="columnheader" scope="col" class="num w1">Stood still</th><th role="columnheader" scope="col" class="w1">By</th><th role="columnheader" scope="col">When</th></tr></thead><tbody role="rowgroup">${migrations.map((migration) => {
    const { spec, status } = migration
    return html`<tr role="row" id="mig-${migration.id}"><th role="rowheader" scope="row" class="a-name">${name(migration)}<a class="plain" href="/operations/${status.operation}">${spec.from.name} → ${spec.to.name}</a> <span class="dim small">${spec.live ? 'live' : 'cold'}</span></th><td role="cell" class="a-end"${status.reason === '' ? '' : html` title="${status.reason}"`}>${state(frame, outcomes[status.outcome])}</td><td role="cell" class="num">${status.bytes === null ? unknown : bytes(status.bytes)}</td><td role="cell" class="num">${duration(status.durationMs)}</td><td role="cell" class="num w1">${status.downtimeMs === null ? unknown : `${Math.round(status.downtimeMs)} ms`}</td><td role="cell" class="w1 dim">${status.actor}</td><td role="cell" class="a-sub dim nowrap">${timeTag(frame, status.endedAt)}</td></tr>`
  })}</tbody></table></section>`
}
