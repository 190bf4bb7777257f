// Signed-in sessions as a table, on the own page and on a user's.
import { html } from 'hono/html'
import type { SessionView } from '../../src/model/session.ts'
import { agoTag, timeTag } from './figures.ts'
import { changeButton, hiddenFields } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { emptyNote } from './note.ts'

export type SessionsCard = {
  readonly sessions: readonly SessionView[]
  /** Path of the page's forms: `/access` or `/users/anna`. */
  readonly path: string
  readonly userName: string
  readonly own: boolean
}

export function sessionsCard(frame: Frame, { sessions, path, userName, own }: SessionsCard): Html {
  return html`<section class="card" id="sessions" aria-labelledby="se-h"><header><div><h2 id="se-h">Sessions</h2><p>Where ${own ? 'you are' : `${userName} is`} signed in, as far as nodes have seen.</p></div><form method="post" action="${path}/sign-out">${hiddenFields(frame)}${changeButton(frame, { text: 'Sign out everywhere', icon: 'out', look: 'risk', id: 'sign-out-all' })}</form></header>${
    sessions.length === 0
      ? emptyNote(frame, { icon: 'user', title: 'No session', text: 'No node has seen one lately.' })
      : html`<table role="table" class="tbl cards"><caption class="vh">Sessions</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Browser</th><th role="columnheader" scope="col">Address</th><th role="columnheader" scope="col" class="w1">Since</th><th role="columnheader" scope="col">Last seen</th><th role="columnheader" scope="col" class="w2">Node</th><th role="columnheader" scope="col"><span class="vh">Actions</span></th></tr></thead><tbody role="rowgroup">${sessions.map((session) => sessionRow(frame, session, path))}</tbody></table>`
  }</section>`
}

function sessionRow(frame: Frame, session: SessionView, path: string): Html {
  return html`<tr role="row"><th role="rowheader" scope="row" class="a-name" title="${session.agent}"><span class="b">${browserOf(session.agent)}</span>${session.current ? html` <span class="tag">this one</span>` : ''}</th><td role="cell" class="a-sub mono">${session.address}</td><td role="cell" class="w1 dim nowrap">${timeTag(frame, session.startedAt)}</td><td role="cell" class="a-end dim nowrap">${agoTag(frame, session.lastSeenAt)}</td><td role="cell" class="w2">${session.node ?? ''}</td><td role="cell" class="a-act num"><form method="post" action="${path}/sessions/${session.id}/revoke">${hiddenFields(frame)}<button type="submit" class="btn bare sq risk" id="end-${session.id}" data-change${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`} aria-label="End the session of ${browserOf(session.agent)} at ${session.address}">${icon(frame, 'x')}</button></form></td></tr>`
}

/** A browser's name and system, out of what it calls itself; more than that it may hide. */
export function browserOf(agent: string): string {
  const browser = /\b(Firefox|Edg|OPR|Chrome|Version)\/(\d+)/.exec(agent)
  const names: Readonly<Record<string, string>> = { Edg: 'Edge', OPR: 'Opera', Version: 'Safari' }
  const system = /\b(Windows|Android|iPhone|iPad|Mac OS X|Linux)\b/.exec(agent)?.[1]
  if (browser === null) return agent.split(/[\s(]/, 1)[0] || 'unknown'
  const later = /\b(Edg|OPR)\/(\d+)/.exec(agent) ?? browser
  return `${names[later[1]!] ?? later[1]} ${later[2]}${system === undefined ? '' : `, ${system === 'Mac OS X' ? 'macOS' : system}`}`
}
