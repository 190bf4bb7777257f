// What a write would change, before it is done: a row for each place.
import { html } from 'hono/html'
import type { Html } from './frame.ts'

export type DifferenceRow = { readonly path: string; readonly before: unknown; readonly after: unknown }

/** A live region: empty while nothing would change. */
export function differenceList(id: string, differences: readonly DifferenceRow[], refusal: string | null): Html {
  if (refusal !== null) return html`<div id="${id}" aria-live="polite"><p class="small bad">${refusal}</p></div>`
  if (differences.length === 0) return html`<div id="${id}" aria-live="polite"><p class="small dim">Nothing would change.</p></div>`
  return html`<div id="${id}" aria-live="polite"><table role="table" class="tbl"><caption class="vh">What would change</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">What</th><th role="columnheader" scope="col">Now</th><th role="columnheader" scope="col">Then</th></tr></thead><tbody role="rowgroup">${differences.map(
    ({ path, before, after }) => html`<tr role="row"><th role="rowheader" scope="row" class="mono">${path === '' ? 'all of it' : path}</th><td role="cell" class="mono">${shown(before)}</td><td role="cell" class="mono">${shown(after)}</td></tr>`,
  )}</tbody></table></div>`
}

function shown(value: unknown): Html | string {
  if (value === null || value === undefined) return html`<span class="dim">none</span>`
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
