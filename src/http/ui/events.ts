// The list of events.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { compareEventIds } from '../../model/event.ts'
import { eventListDefaults, eventNews, eventsPage } from '../../../ui/views/events.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { listUrl } from '../../../ui/views/table.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { ask, askUrl } from './list-query.ts'
import type { Cell } from './cell.ts'
import { answerPage, requestFrame, type Ui } from './page.ts'

export function eventsRoutes(ui: Ui): Hono<HttpEnv> {
  return new Hono<HttpEnv>().get('/events', (context) => {
    const caller = callerOf(context)
    const frame = requestFrame(ui, context)
    const listed = ask(context, eventListDefaults, (query) => ui.app.records.events(caller, query))
    const query = new URL(context.req.url).searchParams.toString()
    return answerPage(ui, context, frame, { title: 'Events', section: 'events', live: `page=events${query === '' ? '' : `&${query}`}` }, eventsPage(frame, listed))
  })
}

/** How many came since the page was opened; the list itself stays where it is. */
export function eventsCells(ui: Ui, caller: Caller, query: URLSearchParams): (frame: Frame) => Cell[] {
  const url = new URL(`https://list/events?${query.toString()}`)
  url.searchParams.delete('after')
  const read = () => askUrl(url, eventListDefaults, (list) => ui.app.records.events(caller, list))
  const newest = read().items[0]?.id ?? '0.0'
  return () => {
    const listed = read()
    return [{ id: 'events-news', html: eventNews(listed.items.filter((event) => compareEventIds(event.id, newest) > 0).length, listUrl({ ...listed.list, path: '/events' }, {}, eventListDefaults)) }]
  }
}
