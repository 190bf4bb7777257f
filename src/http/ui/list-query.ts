// From the URL of a list page to what is asked of the list.
import type { ListQuery, Page } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import type { ListState } from '../../../ui/views/table.ts'
import type { UiContext } from './page.ts'

const limitMax = 100
const textMax = 1024

/** Sort and page size are bounded here; words of the filter are judged by the list itself. */
export function listStateOf(url: URL, defaults: { readonly sort: string; readonly limit: number }): ListState {
  const text = (name: string) => (url.searchParams.get(name) ?? '').slice(0, textMax)
  const limit = Number(text('limit'))
  return {
    path: url.pathname,
    q: text('q').trim(),
    sort: text('sort') === '' ? defaults.sort : text('sort'),
    after: text('after'),
    limit: Number.isInteger(limit) && limit >= 1 && limit <= limitMax ? limit : defaults.limit,
  }
}

export function listQueryOf(list: ListState, defaults: { readonly sort: string }): ListQuery {
  return { limit: list.limit, after: list.after === '' ? null : list.after, sort: list.sort === defaults.sort ? null : list.sort, filter: list.q === '' ? null : list.q }
}

export type Listed<T> = Page<T> & { readonly list: ListState; readonly mistake: string | null }

/** Asks the list; a filter that cannot be read gives an empty page that says so, instead of an error page. */
export function ask<T>(context: UiContext, defaults: { readonly sort: string; readonly limit: number }, read: (query: ListQuery) => Page<T>): Listed<T> {
  return askUrl(new URL(context.req.url), defaults, read)
}

export function askUrl<T>(url: URL, defaults: { readonly sort: string; readonly limit: number }, read: (query: ListQuery) => Page<T>): Listed<T> {
  const list = listStateOf(url, defaults)
  try {
    return { ...read(listQueryOf(list, defaults)), list, mistake: null }
  } catch (error) {
    if (!(error instanceof OperationalError) || error.code !== 'INVALID') throw error
    return { items: [], next: null, total: 0, list, mistake: error.message }
  }
}
