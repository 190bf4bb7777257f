// Parts of tables: sortable column heads, cursor paging, views, the filter form.
import { html } from 'hono/html'
import { count } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'

/** What the list was asked, as it stands in the URL. */
export type ListState = {
  /** Path of the page. */
  readonly path: string
  readonly q: string
  readonly sort: string
  readonly after: string
  readonly limit: number
}

/** URL of the same list with something changed; defaults stay out of it. */
export function listUrl(list: ListState, change: Partial<ListState>, defaults: { readonly sort: string; readonly limit: number }): string {
  const wanted = { ...list, ...change }
  const query = new URLSearchParams()
  if (wanted.q !== '') query.set('q', wanted.q)
  if (wanted.sort !== defaults.sort) query.set('sort', wanted.sort)
  if (wanted.limit !== defaults.limit) query.set('limit', String(wanted.limit))
  if (wanted.after !== '') query.set('after', wanted.after)
  const text = query.toString()
  return text === '' ? wanted.path : `${wanted.path}?${text}`
}

export type Column = { readonly text: string; readonly sort?: string; readonly look?: string; readonly hidden?: boolean }

/** A head row; roles are explicit because cards change the display of the table. */
export function columnHeads(frame: Frame, columns: readonly Column[], list: ListState, options: { readonly target: string; readonly defaults: { readonly sort: string; readonly limit: number } }): Html {
  return html`${columns.map((column) => {
    const look = column.look === undefined ? '' : html` class="${column.look}"`
    if (column.hidden === true) return html`<th role="columnheader" scope="col"${look}><span class="vh">${column.text}</span></th>`
    if (column.sort === undefined) return html`<th role="columnheader" scope="col"${look}>${column.text}</th>`
    const ascending = list.sort === column.sort
    const descending = list.sort === `-${column.sort}`
    const url = listUrl(list, { sort: ascending ? `-${column.sort}` : column.sort, after: '' }, options.defaults)
    return html`<th role="columnheader" scope="col"${look}${ascending ? html` aria-sort="ascending"` : ''}${descending ? html` aria-sort="descending"` : ''}><a href="${url}" hx-get="${url}" hx-target="${options.target}" hx-select="${options.target}" hx-swap="outerMorph" hx-push-url="true">${column.text}${
      ascending ? icon(frame, 'up') : ''
    }${descending ? icon(frame, 'down') : ''}</a></th>`
  })}`
}

export type Paging = { readonly shown: number; readonly total: number; readonly next: string | null }

/** Cursor links; a cursor goes forward only, so "Back to the start" is the way back beside the browser's own. */
export function pager(list: ListState, page: Paging, options: { readonly target: string; readonly defaults: { readonly sort: string; readonly limit: number }; readonly noun: string }): Html {
  const first = listUrl(list, { after: '' }, options.defaults)
  const link = (url: string, text: string) => html`<a class="btn" href="${url}" hx-get="${url}" hx-target="${options.target}" hx-select="${options.target}" hx-swap="outerMorph" hx-push-url="true">${text}</a>`
  return html`<div class="pager"><span>${count(page.shown)} of ${count(page.total)} ${options.noun}</span><span class="row"><span class="row p-hide">Rows ${[25, 50, 100].map((limit) =>
    limit === list.limit ? html`<b>${limit}</b> ` : html`<a class="plain" href="${listUrl(list, { limit, after: '' }, options.defaults)}" aria-label="${limit} rows a page">${limit}</a> `,
  )}</span><span class="group">${list.after === '' ? html`<button type="button" class="btn" disabled>Back to the start</button>` : link(first, 'Back to the start')}${
    page.next === null ? html`<button type="button" class="btn" disabled>Next</button>` : link(listUrl(list, { after: page.next }, options.defaults), 'Next')
  }</span></span></div>`
}

export type View = { readonly text: string; readonly q: string; readonly count?: number; readonly icon?: string; readonly tone?: string }

export function viewLinks(frame: Frame, list: ListState, views: readonly View[], defaults: { readonly sort: string; readonly limit: number }): Html {
  return html`<nav class="views" aria-label="Views">${views.map(
    (view) => html`<a href="${listUrl(list, { q: view.q, after: '' }, defaults)}"${list.q === view.q ? html` aria-current="page"` : ''}>${view.icon === undefined ? '' : icon(frame, view.icon, view.tone)}${view.text}${view.count === undefined ? '' : html` <span>${count(view.count)}</span>`}</a>`,
  )}</nav>`
}

/** The typed filter. It is a plain GET form; htmx only saves the reload. */
export function filterForm(list: ListState, options: { readonly label: string; readonly placeholder: string; readonly target: string; readonly defaults: { readonly sort: string; readonly limit: number } }): Html {
  return html`<form class="row" role="search" method="get" action="${list.path}" hx-get="${list.path}" hx-target="${options.target}" hx-select="${options.target}" hx-swap="outerMorph" hx-trigger="input changed delay:200ms, submit" hx-sync="this:replace" hx-replace-url="true">
<div class="grow"><label class="vh" for="q">${options.label}</label><input class="input" id="q" type="search" name="q" value="${list.q}" placeholder="${options.placeholder}" autocomplete="off" spellcheck="false"></div>${
    list.sort === options.defaults.sort ? '' : html`<input type="hidden" name="sort" value="${list.sort}">`
  }${list.limit === options.defaults.limit ? '' : html`<input type="hidden" name="limit" value="${list.limit}">`}<noscript><button class="btn">Filter</button></noscript></form>`
}
