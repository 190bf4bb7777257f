// Access: the own password, API tokens, users, join tokens, the audit record.
import { html } from 'hono/html'
import type { AuditRecord } from '../../src/model/audit.ts'
import type { Token } from '../../src/model/token.ts'
import { roles } from '../../src/model/role.ts'
import { passwordCharactersMin, type User } from '../../src/model/user.ts'
import { ageTag, count, timeTag, unknown } from './figures.ts'
import { changeButton, hiddenFields, selectField, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf } from './note.ts'
import { state, type StateWord } from './state.ts'
import { pager, type ListState } from './table.ts'

export type JoinToken = { readonly id: string; readonly createdAt: string; readonly expiresAt: string; readonly state: 'valid' | 'used' | 'expired' | 'revoked'; readonly usedBy: string | null }

/** Field errors by form and field, as `token.name`. */
export type AccessErrors = Readonly<Record<string, string>>

/** A secret that was made just now: shown this once. */
export type NewSecret = { readonly kind: 'token' | 'join'; readonly secret: string; readonly name: string }

export type Access = {
  readonly userId: string
  readonly tokens: readonly Token[]
  /** Null for who may not see them. */
  readonly users: readonly User[] | null
  readonly joinTokens: readonly JoinToken[] | null
  readonly audit: { readonly items: readonly AuditRecord[]; readonly total: number; readonly next: string | null; readonly list: ListState } | null
  readonly errors: AccessErrors
  readonly typed: Readonly<Record<string, string>>
  readonly secret: NewSecret | null
  /** What was done just now. */
  readonly done: string | null
}

export const auditListDefaults = { sort: '-id', limit: 25 } as const

export function accessPage(frame: Frame, data: Access): Html {
  return html`<div class="head"><div><div class="row title"><h1>Access</h1>${asOf(frame)}</div><p>Who may do what, and what was done.</p></div></div>
${data.done === null ? '' : html`<div class="note" role="status">${icon(frame, 's-ok', 'ok')}<p>${data.done}</p></div>`}
${data.secret === null ? '' : secretNote(frame, data.secret)}
<div class="grid"><div class="c8 col wide">${tokensCard(frame, data)}${data.users === null ? '' : usersCard(frame, data.users, data)}${data.joinTokens === null ? '' : joinCard(frame, data.joinTokens)}</div><div class="c4 col wide">${passwordCard(frame, data)}</div></div>
${data.audit === null ? '' : auditCard(frame, data.audit)}`
}

function secretNote(frame: Frame, secret: NewSecret): Html {
  const text = secret.kind === 'token' ? `Token ${secret.name} was made` : 'A join token was made'
  const help = secret.kind === 'token' ? 'Send it as “Authorization: Bearer …”.' : 'On the new host: novacron cluster join TOKEN'
  return html`<div class="note go" role="status" id="secret">${icon(frame, 'access')}<div class="grow"><p class="b">${text}. Copy it now: it is shown this once.</p><p><code class="secret">${secret.secret}</code></p><p class="small">${help}</p></div><button type="button" class="btn" data-do="copy" data-text="${secret.secret}">${icon(frame, 'copy')}Copy</button></div>`
}

function passwordCard(frame: Frame, data: Access): Html {
  const { errors } = data
  return html`<section class="card" id="password" aria-labelledby="pw-h"><header><h2 id="pw-h">Your password</h2></header><form class="in col wide" method="post" action="/access/password">${hiddenFields(frame)}<input type="text" class="vh" name="username" value="${frame.user.name}" autocomplete="username" tabindex="-1" aria-hidden="true" readonly>${textField(frame, { id: 'pw-current', name: 'current', label: 'Present password', type: 'password', autocomplete: 'current-password', error: errors['password.current'] })}${textField(frame, { id: 'pw-new', name: 'password', label: 'New password', type: 'password', autocomplete: 'new-password', help: `At least ${passwordCharactersMin} characters.`, error: errors['password.password'] })}${textField(frame, { id: 'pw-again', name: 'again', label: 'New password again', type: 'password', autocomplete: 'new-password', error: errors['password.again'] })}<div>${changeButton(frame, { text: 'Change password', id: 'pw-go' })}</div></form></section>`
}

const tokenWords: Readonly<Record<'valid' | 'used' | 'expired' | 'revoked', StateWord>> = {
  valid: { word: 'Valid', tone: 'ok', icon: 's-ok' },
  used: { word: 'Used', tone: 'off', icon: 'check' },
  expired: { word: 'Expired', tone: 'off', icon: 's-queued' },
  revoked: { word: 'Revoked', tone: 'off', icon: 's-cancelled' },
}

function tokensCard(frame: Frame, data: Access): Html {
  const { tokens, errors, typed } = data
  return html`<section class="card" id="tokens" aria-labelledby="tk-h"><header><div><h2 id="tk-h">API tokens</h2><p>For scripts and the command line; they may do what their user may.</p></div></header>${
    tokens.length === 0
      ? html`<p class="in dim">No token was made yet.</p>`
      : html`<table role="table" class="tbl cards"><caption class="vh">API tokens</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col" class="w1">User</th><th role="columnheader" scope="col" class="w1">Made</th><th role="columnheader" scope="col" class="w2">Ends</th><th role="columnheader" scope="col"><span class="vh">Actions</span></th></tr></thead><tbody role="rowgroup">${tokens.map((token) => tokenRow(frame, token))}</tbody></table>`
  }<form class="in row join" method="post" action="/access/tokens">${hiddenFields(frame)}${textField(frame, { id: 'tk-name', name: 'name', label: 'Name of a new token', value: typed['token.name'] ?? '', error: errors['token.name'] })}${selectField(frame, { id: 'tk-days', name: 'days', label: 'Ends after', value: typed['token.days'] ?? '90', error: errors['token.days'], choices: [{ value: '30', text: '30 days' }, { value: '90', text: '90 days' }, { value: '365', text: 'a year' }, { value: '', text: 'never' }] })}${changeButton(frame, { text: 'Make a token', icon: 'plus', id: 'tk-go' })}</form></section>`
}

function tokenRow(frame: Frame, token: Token): Html {
  const { status } = token
  const expired = status.expiresAt !== null && Date.parse(status.expiresAt) < frame.nowMs
  const word = tokenWords[status.revoked ? 'revoked' : expired ? 'expired' : 'valid']
  return html`<tr role="row"><th role="rowheader" scope="row" class="a-name"><span class="b">${token.name}</span></th><td role="cell" class="a-sub">${state(frame, word)}</td><td role="cell" class="w1">${status.user}</td><td role="cell" class="w1 dim nowrap">${ageTag(frame, status.createdAt)}</td><td role="cell" class="w2 dim nowrap">${status.expiresAt === null ? 'never' : timeTag(frame, status.expiresAt)}</td><td role="cell" class="a-act num">${
    status.revoked ? '' : html`<form method="post" action="/access/tokens/${token.id}/revoke">${hiddenFields(frame)}${changeButton(frame, { text: 'Revoke', look: 'bare risk', id: `revoke-${token.id}` })}</form>`
  }</td></tr>`
}

function usersCard(frame: Frame, users: readonly User[], data: Access): Html {
  const { errors, typed } = data
  return html`<section class="card" id="users" aria-labelledby="us-h"><header><div><h2 id="us-h">Users</h2><p>People who may sign in.</p></div></header><table role="table" class="tbl cards"><caption class="vh">Users</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">Roles</th><th role="columnheader" scope="col" class="w1">Made</th><th role="columnheader" scope="col"><span class="vh">Actions</span></th></tr></thead><tbody role="rowgroup">${users.map(
    (user) => html`<tr role="row"><th role="rowheader" scope="row" class="a-name"><span class="b">${user.name}</span>${user.spec.displayName === '' ? '' : html` <span class="dim">${user.spec.displayName}</span>`}</th><td role="cell" class="a-sub">${user.spec.disabled ? 'disabled' : user.spec.bindings.map((binding) => (binding.scope === '*' ? binding.role : `${binding.role} of ${binding.scope}`)).join(', ')}</td><td role="cell" class="w1 dim nowrap">${ageTag(frame, user.status.createdAt)}</td><td role="cell" class="a-act num">${
      user.id === data.userId ? html`<span class="dim small">you</span>` : html`<form method="post" action="/access/users/${user.id}/delete">${hiddenFields(frame)}<input type="hidden" name="confirm" value="${user.name}">${changeButton(frame, { text: `Remove ${user.name}`, icon: 'trash', look: 'bare sq risk', id: `remove-${user.id}` })}</form>`
    }</td></tr>`,
  )}</tbody></table><form class="in col wide" method="post" action="/access/users">${hiddenFields(frame)}<div class="two">${textField(frame, { id: 'us-name', name: 'name', label: 'Name of a new user', value: typed['user.name'] ?? '', error: errors['user.name'] })}${textField(frame, { id: 'us-password', name: 'password', label: 'First password', type: 'password', autocomplete: 'new-password', error: errors['user.password'] })}${selectField(frame, { id: 'us-role', name: 'role', label: 'Role', value: typed['user.role'] ?? 'operator', error: errors['user.role'], choices: roles.map((role) => ({ value: role, text: role })) })}</div><div>${changeButton(frame, { text: 'Add user', icon: 'plus', id: 'us-go' })}</div></form></section>`
}

function joinCard(frame: Frame, joinTokens: readonly JoinToken[]): Html {
  return html`<section class="card" id="join" aria-labelledby="jn-h"><header><div><h2 id="jn-h">Join tokens</h2><p>Lets one host become a node, once.</p></div><form class="row" method="post" action="/access/join-tokens">${hiddenFields(frame)}<label class="vh" for="jn-life">How long it is valid</label><select class="input" id="jn-life" name="life"><option value="900">15 min</option><option value="3600" selected>1 h</option><option value="86400">1 day</option></select>${changeButton(frame, { text: 'Make a join token', icon: 'plus', id: 'jn-go' })}</form></header>${
    joinTokens.length === 0
      ? ''
      : html`<table role="table" class="tbl cards"><caption class="vh">Join tokens</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Token</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col" class="w1">Made</th><th role="columnheader" scope="col" class="w1">Ends</th><th role="columnheader" scope="col"><span class="vh">Actions</span></th></tr></thead><tbody role="rowgroup">${joinTokens.map(
          (token) => html`<tr role="row"><th role="rowheader" scope="row" class="a-name mono">…${token.id.slice(-8)}</th><td role="cell" class="a-sub">${state(frame, tokenWords[token.state])}${token.usedBy === null ? '' : html` <span class="dim">by ${token.usedBy}</span>`}</td><td role="cell" class="w1 dim nowrap">${ageTag(frame, token.createdAt)}</td><td role="cell" class="w1 dim nowrap">${timeTag(frame, token.expiresAt)}</td><td role="cell" class="a-act num">${
            token.state === 'valid' ? html`<form method="post" action="/access/join-tokens/${token.id}/revoke">${hiddenFields(frame)}${changeButton(frame, { text: 'Revoke', look: 'bare risk', id: `revoke-${token.id}` })}</form>` : ''
          }</td></tr>`,
        )}</tbody></table>`
  }</section>`
}

function auditCard(frame: Frame, audit: NonNullable<Access['audit']>): Html {
  return html`<section class="card live" id="audit" aria-labelledby="au-h"><header><div><h2 id="au-h">Audit</h2><p>Each command that somebody gave, with its outcome.</p></div><span class="pill">${count(audit.total)}</span></header><table role="table" class="tbl cards"><caption class="vh">Audit, newest first</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Command</th><th role="columnheader" scope="col">Target</th><th role="columnheader" scope="col">Who</th><th role="columnheader" scope="col" class="w2">From</th><th role="columnheader" scope="col" class="w1">When</th><th role="columnheader" scope="col">Outcome</th></tr></thead><tbody role="rowgroup">${audit.items.map(
    (record) => html`<tr role="row"><th role="rowheader" scope="row" class="a-name mono">${record.command}</th><td role="cell" class="a-sub">${record.target === '' ? unknown : record.target}</td><td role="cell" class="w0">${record.actor} <span class="dim small">${record.actorKind}</span></td><td role="cell" class="w2 mono">${record.address === '' ? unknown : record.address}</td><td role="cell" class="w1 dim nowrap">${timeTag(frame, record.at)}</td><td role="cell" class="a-end">${record.outcome === 'done' ? state(frame, { word: 'Done', tone: 'ok', icon: 's-ok' }) : html`<span title="${record.detail}">${state(frame, { word: 'Refused', tone: 'warn', icon: 's-warn' })} <code class="small w1">${record.code}</code></span>`}</td></tr>`,
  )}</tbody></table>${pager(audit.list, { shown: audit.items.length, total: audit.total, next: audit.next }, { target: '#audit', defaults: auditListDefaults, noun: 'records' })}</section>`
}
