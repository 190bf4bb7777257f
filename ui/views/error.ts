// Error pages: they keep the shell, say what happened, what was not affected and what to do.
import { html } from 'hono/html'
import { moment } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import type { Problem } from './note.ts'

export type ErrorPage = {
  readonly status: number
  readonly problem: Problem
  readonly requestId: string
  /** Where to go on from here. */
  readonly back: { readonly href: string; readonly text: string }
}

export function errorPage(frame: Frame, error: ErrorPage): Html {
  const { status, problem } = error
  const retry = status >= 500
  return html`<section class="card"><div class="empty">${icon(frame, errorIcon(status), status >= 500 ? 'warn' : '')}<h1>${errorHeading(status, problem)}</h1><p>${problem.detail}</p>${
    problem.fields.length === 0 ? '' : html`<ul>${problem.fields.map((field) => html`<li><code>${field.path}</code> ${field.message}</li>`)}</ul>`
  }<div class="row">${retry ? html`<a class="btn main" href="${frame.path}">${icon(frame, 'restart')}Try again</a>` : ''}<a class="btn" href="${error.back.href}">${error.back.text}</a></div></div><div class="in"><dl class="kv"><dt>Code</dt><dd class="mono">${problem.code}</dd><dt>Request</dt><dd class="row"><span class="mono">${error.requestId}</span><button type="button" class="btn bare" data-do="copy" data-text="${error.requestId}">Copy</button></dd><dt>Node</dt><dd>${frame.cluster.node}</dd><dt>Time</dt><dd>${moment(frame, frame.nowMs)}</dd></dl></div></section>`
}

function errorIcon(status: number): string {
  if (status === 404) return 'search'
  if (status === 403) return 'lock'
  return 's-warn'
}

function errorHeading(status: number, problem: Problem): string {
  if (status === 404) return 'There is nothing here'
  if (status === 403) return 'You may not see or do this'
  if (status === 500) return 'This page could not be put together'
  return problem.title
}
