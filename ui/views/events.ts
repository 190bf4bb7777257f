// The list of events: what happened, when, to what, by whom.
import { html } from 'hono/html'
import type { Event } from '../../src/model/event.ts'
import { moment, timeTag } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'
import { filterForm, pager, viewLinks, type ListState, type View } from './table.ts'

export const eventListDefaults = { sort: '-id', limit: 50 } as const

export type EventList = {
  readonly items: readonly Event[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly mistake: string | null
}

const views: readonly View[] = [
  { text: 'All', q: '' },
  { text: 'VMs', q: 'kind:vm', icon: 'vm' },
  { text: 'Nodes', q: 'kind:node', icon: 'node' },
  { text: 'Images', q: 'kind:image', icon: 'image' },
  { text: 'Operations', q: 'kind:operation', icon: 'ops' },
  { text: 'Cluster', q: 'kind:cluster', icon: 'overview' },
]

export function eventsPage(frame: Frame, data: EventList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Events</h1>${asOf(frame)}</div><p>Every change, numbered the same on each node.</p></div></div>
<div class="col wide">${viewLinks(frame, data.list, views, eventListDefaults)}
${filterForm(data.list, { label: 'Filter events', placeholder: 'Name, kind:vm, type:deleted, actor:admin', target: '#events', defaults: eventListDefaults })}</div>
<div id="events-news" role="status"></div>
${eventSection(frame, data)}`
}

function eventSection(frame: Frame, data: EventList): Html {
  if (data.items.length === 0) {
    const title = data.mistake === null ? 'No events' : 'This filter cannot be read'
    return html`<section class="card" id="events" aria-label="Event list">${emptyNote(frame, { icon: 'events', title, text: data.mistake ?? (data.list.q === '' ? 'Nothing has happened yet.' : `Nothing fits “${data.list.q}”.`) })}</section>`
  }
  return html`<section class="card live" id="events" aria-label="Event list"><div class="in">${eventList(frame, data.items)}</div>${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#events', defaults: eventListDefaults, noun: 'events' })}</section>`
}

/** "3 new, refresh" above the list: a live cell. */
export function eventNews(fresh: number, url: string): Html {
  return fresh === 0 ? html`<div id="events-news" role="status"></div>` : html`<div id="events-news" role="status"><div class="note go"><p>${fresh} new. <a href="${url}">Refresh</a></p></div></div>`
}

/** A time line, newest first. */
export function eventList(frame: Frame, events: readonly Event[]): Html {
  return html`<ol class="time">${events.map(
    (event) => html`<li id="ev-${event.id.replace('.', '-')}">${timeTag(frame, event.at)}${icon(frame, eventIcon(event), eventTone(event))}<div><span class="b">${eventSubject(event)}</span> <span class="dim small" title="${moment(frame, event.at)}">${event.id}</span><p>${event.message}${event.actor === '' ? '' : html` <span class="dim">by ${event.actor}</span>`}</p></div></li>`,
  )}</ol>`
}

function eventSubject(event: Event): Html | string {
  if (event.type === 'deleted') return event.name
  switch (event.kind) {
    case 'vm':
      return html`<a class="plain" href="/vms/${event.resourceId}">${event.name}</a>`
    case 'node':
      return html`<a class="plain" href="/nodes/${event.resourceId}">${event.name}</a>`
    case 'operation':
      return html`<a class="plain" href="/operations/${event.resourceId}">${event.name === '' ? 'Operation' : event.name}</a>`
    default:
      return event.name === '' ? event.kind : event.name
  }
}

/** What somebody should look at. */
const warnings: ReadonlySet<string> = new Set(['node.silent', 'node.trouble', 'node.diverged'])

function eventIcon(event: Event): string {
  if (warnings.has(event.reason)) return 's-warn'
  if (event.reason.includes('fail')) return 's-failed'
  const icons: Readonly<Record<string, string>> = { vm: 'vm', node: 'node', image: 'image', operation: 'ops', user: 'user', token: 'access', joinToken: 'access', cluster: 'overview' }
  return icons[event.kind] ?? 's-info'
}

function eventTone(event: Event): string {
  if (event.reason.includes('fail')) return 'bad'
  if (warnings.has(event.reason)) return 'warn'
  if (event.type === 'created') return 'go'
  return 'dim'
}
