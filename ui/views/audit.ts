// The audit: what was commanded and refused, with a filter in words and in fields, and as a file.
import { html } from 'hono/html'
import type { AuditRecord } from '../../src/model/audit.ts'
import { timeTag } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'
import { state } from './state.ts'
import { columnHeads, filterForm, pager, viewLinks, type Column, type ListState } from './table.ts'

export const auditListDefaults = { sort: '-at', limit: 25 } as const

export type AuditList = { readonly items: readonly AuditRecord[]; readonly total: number; readonly next: string | null; readonly list: ListState; readonly mistake: string | null }

const columns: readonly Column[] = [
  { text: 'Command', sort: 'command' }, { text: 'Target', sort: 'target' }, { text: 'Who', sort: 'actor' }, { text: 'From', look: 'w2' }, { text: 'When', sort: 'at', look: 'w1' }, { text: 'Outcome', sort: 'outcome' },
]

export function auditPage(frame: Frame, data: AuditList): Html {
  const query = new URLSearchParams(data.list.q === '' ? {} : { filter: data.list.q })
  const file = (format: string) => `/api/v1/audit/export?${new URLSearchParams([...query, ['format', format]]).toString()}`
  const views = [
    { text: 'All', q: '' }, { text: 'Refused', q: 'outcome:refused', icon: 's-warn', tone: 'warn' }, { text: 'Failed sign-ins', q: 'code:SIGN_IN_FAILED', icon: 'lock' },
    { text: 'People', q: 'noun:user' }, { text: 'VMs', q: 'noun:vm' }, { text: 'Last 24 hours', q: 'since:24h' },
  ]
  return html`<div class="head"><div><div class="row title"><h1>Audit</h1>${asOf(frame)}</div><p>Each command that somebody gave, with its outcome; what was refused before it became one, failed sign-ins and support bundles taken, as nodes told each other.</p></div><div class="row"><a class="btn" href="${file('csv')}" download>${icon(frame, 'download')}CSV</a><a class="btn" href="${file('jsonl')}" download>${icon(frame, 'download')}JSON lines</a></div></div>
${viewLinks(frame, data.list, views, auditListDefaults)}
${filterForm(data.list, { label: 'Filter the audit', placeholder: 'actor:anna command:vm.stop target:web since:7d until:2026-11-20', target: '#audit', defaults: auditListDefaults })}
${auditSection(frame, data)}`
}

function auditSection(frame: Frame, data: AuditList): Html {
  if (data.items.length === 0) {
    return html`<section class="card" id="audit" aria-label="Audit records">${emptyNote(frame, { icon: 'shield', title: 'No record fits', text: data.mistake ?? `Nothing fits “${data.list.q}”.` })}</section>`
  }
  return html`<section class="card live" id="audit" aria-label="Audit records"><table role="table" class="tbl cards stick"><caption class="vh">Audit records</caption><thead role="rowgroup"><tr role="row">${columnHeads(frame, columns, data.list, { target: '#audit', defaults: auditListDefaults })}</tr></thead><tbody role="rowgroup">${data.items.map((record) => auditRow(frame, record))}</tbody></table>${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#audit', defaults: auditListDefaults, noun: 'records' })}</section>`
}

function auditRow(frame: Frame, record: AuditRecord): Html {
  const only = (term: string) => `/audit?q=${encodeURIComponent(term)}`
  return html`<tr role="row"><th role="rowheader" scope="row" class="a-name mono"><a class="plain" href="${only(`command:${record.command}`)}">${record.command}</a></th><td role="cell" class="a-sub">${record.target === '' ? html`<span class="dim">none</span>` : record.target}${record.outcome === 'done' && record.detail !== '' ? html` <span class="dim small">${record.detail}</span>` : ''}<span class="p-only dim"> · ${record.actor}, ${timeTag(frame, record.at)}</span></td><td role="cell" class="w0">${/\s/.test(record.actor) ? record.actor : html`<a class="plain" href="${only(`actor:${record.actor}`)}">${record.actor}</a>`} <span class="dim small">${record.actorKind}</span></td><td role="cell" class="w2 mono">${record.address}</td><td role="cell" class="w1 dim nowrap">${timeTag(frame, record.at)}</td><td role="cell" class="a-end">${
    record.outcome === 'done' ? state(frame, { word: 'Done', tone: 'ok', icon: 's-ok' }) : html`<span title="${record.detail}">${state(frame, { word: 'Refused', tone: 'warn', icon: 's-warn' })} <code class="small w1">${record.code}</code></span>`
  }</td></tr>`
}
