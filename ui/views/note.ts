// Notes: an error with what happened and its code, a hint, the toast about what was just done, the band of lost quorum.
import { html } from 'hono/html'
import { clock } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'

export type Problem = {
  readonly code: string
  readonly title: string
  readonly detail: string
  readonly fields: readonly { readonly path: string; readonly message: string }[]
}

/** Stays in place until the next try. */
export function problemNote(frame: Frame, problem: Problem): Html {
  return html`<div class="note bad" role="alert">${icon(frame, 's-failed')}<div class="grow"><p class="b">${problem.title}</p><p>${problem.detail}</p>
${problem.fields.length === 0 ? '' : html`<ul>${problem.fields.map((field) => html`<li class="small"><code>${field.path}</code> ${field.message}</li>`)}</ul>`}
<p class="small"><code>${problem.code}</code></p></div></div>`
}

/** About what the reader did just now; goes by itself. */
export function toast(frame: Frame, text: string, link?: { readonly href: string; readonly text: string }): Html {
  return html`<div class="note" data-drop data-toast>${icon(frame, 's-ok', 'ok')}<div class="grow"><p class="b">${text}</p>${link === undefined ? '' : html`<p><a href="${link.href}">${link.text}</a></p>`}</div><button type="button" class="btn bare sq" data-do="drop" aria-label="Dismiss">${icon(frame, 'x')}</button></div>`
}

/** The band over the shell; empty while all is well. Its id makes it a live cell. */
export function alarm(frame: Frame): Html {
  const { cluster } = frame
  if (cluster.quorum && cluster.staleSinceMs === null) return html`<div id="alarm"></div>`
  const since = cluster.staleSinceMs === null ? '' : ` since ${clock(frame, cluster.staleSinceMs)}`
  const others = cluster.peers.filter((peer) => peer.name !== cluster.node)
  const text = cluster.quorum
    ? `This node has not heard from the leader${since}. What it shows may be old.`
    : `This node has no quorum${since}. You can look, but not change anything. VMs keep running.`
  return html`<div id="alarm"><div class="alarm" role="alert">${icon(frame, 's-offline')}<p>${text}</p>${
    others.length === 0 ? '' : html`<span class="row">Try ${others.map((peer) => html`<a href="${peer.url}">${peer.name}</a> `)}</span>`
  }</div></div>`
}

/** "as of 14:31:52" where figures stand still; else nothing. */
export function asOf(frame: Frame, id = 'as-of'): Html {
  const since = frame.cluster.staleSinceMs
  if (since === null) return html`<span id="${id}"></span>`
  return html`<span id="${id}"><span class="state pill warn">${icon(frame, 's-queued')}as of ${clock(frame, since)}</span></span>`
}

/** For pages with nothing in them yet. */
export function emptyNote(frame: Frame, options: { readonly icon: string; readonly title: string; readonly text: string; readonly action?: Html }): Html {
  return html`<div class="empty">${icon(frame, options.icon)}<h2>${options.title}</h2><p>${options.text}</p>${options.action ?? ''}</div>`
}
