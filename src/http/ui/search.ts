// What the palette finds.
import { Hono } from 'hono'
import { OperationalError } from '../../model/error.ts'
import type { ListQuery, Page } from '../../app/face.ts'
import { foundMax, paletteOptions } from '../../../ui/views/palette.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { isPartial, requestFrame, type Ui } from './page.ts'

const queryCharactersMax = 200

export function searchRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>().get('/ui/search', (context) => {
    const query = (new URL(context.req.url).searchParams.get('q') ?? '').trim().slice(0, queryCharactersMax)
    if (!isPartial(context)) return context.redirect(`/vms?q=${encodeURIComponent(query)}`, 303)
    const caller = callerOf(context)
    const frame = requestFrame(ui, context)
    if (query === '') return context.html(paletteOptions(frame, { vms: [], nodes: [], images: [] }, ''))
    return context.html(paletteOptions(frame, {
      vms: find((list) => app.vms.list(caller, list), query),
      nodes: find((list) => app.nodes.list(caller, list), query),
      images: find((list) => app.images.list(caller, list), query),
    }, query))
  })
}

/** A half-typed filter finds nothing; that is no error. */
function find<T>(list: (query: ListQuery) => Page<T>, filter: string): readonly T[] {
  try {
    return list({ limit: foundMax, after: null, sort: null, filter }).items
  } catch (error) {
    if (error instanceof OperationalError) return []
    throw error
  }
}
