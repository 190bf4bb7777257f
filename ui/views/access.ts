// Access: the own password, sessions and API tokens; join tokens for administrators.
import { html } from 'hono/html'
import type { Token } from '../../src/model/token.ts'
import type { RoleBinding } from '../../src/model/role.ts'
import type { SessionView } from '../../src/model/session.ts'
import { passwordCharactersMin } from '../../src/model/user.ts'
import { ageTag, agoTag, timeTag } from './figures.ts'
import { changeButton, hiddenFields, selectField, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf } from './note.ts'
import { state, type StateWord } from './state.ts'
import { sessionsCard } from './sessions.ts'
import { roleChoices, roleText, scopeChoices } from './users.ts'

export type JoinToken = { readonly id: string; readonly createdAt: string; readonly expiresAt: string; readonly state: 'valid' | 'used' | 'expired' | 'revoked'; readonly usedBy: string | null }

/** Field errors by form and field, as `token.name`. */
export type AccessErrors = Readonly<Record<string, string>>

/** A secret that was made just now: shown this once. */
export type NewSecret = { readonly kind: 'token' | 'join'; readonly secret: string; readonly name: string }

export type Access = {
  readonly bindings: readonly RoleBinding[]
  readonly tokens: readonly Token[]
  readonly sessions: readonly SessionView[]
  /** Projects that a token can be bound to. */
  readonly projects: readonly string[]
  /** Null for who may not see them. */
  readonly joinTokens: readonly JoinToken[] | null
  readonly errors: AccessErrors
  readonly typed: Readonly<Record<string, string>>
  readonly secret: NewSecret | null
  /** What was done just now. */
  readonly done: string | null
}

export function accessPage(frame: Frame, data: Access): Html {
  return html`<div class="head"><div><div class="row title"><h1>Access</h1>${asOf(frame)}</div><p>${roleSentence(frame, data.bindings)}</p></div></div>
${data.done === null ? '' : html`<div class="note" role="status">${icon(frame, 's-ok', 'ok')}<p>${data.done}</p></div>`}
${data.secret === null ? '' : secretNote(frame, data.secret)}
<div class="grid"><div class="c8 col wide">${sessionsCard(frame, { sessions: data.sessions, path: '/access', userName: frame.user.name, own: true })}${tokensCard(frame, data)}${data.joinTokens === null ? '' : joinCard(frame, data.joinTokens)}</div><div class="c4 col wide">${passwordCard(frame, data)}</div></div>`
}

function roleSentence(frame: Frame, bindings: readonly RoleBinding[]): string {
  if (bindings.length === 0) return `You are ${frame.user.name}, without a role: an administrator can give you one.`
  return `You are ${frame.user.name}: ${bindings.map(roleText).join(', ')}.`
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
      : html`<table role="table" class="tbl cards"><caption class="vh">API tokens</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col" class="w1">User</th><th role="columnheader" scope="col" class="w1">Made</th><th role="columnheader" scope="col" class="w2">Ends</th><th role="columnheader" scope="col" class="w1">May do</th><th role="columnheader" scope="col" class="w2">Last used</th><th role="columnheader" scope="col"><span class="vh">Actions</span></th></tr></thead><tbody role="rowgroup">${tokens.map((token) => tokenRow(frame, token))}</tbody></table>`
  }<form class="in row join" method="post" action="/access/tokens">${hiddenFields(frame)}${textField(frame, { id: 'tk-name', name: 'name', label: 'Name of a new token', value: typed['token.name'] ?? '', error: errors['token.name'] })}${selectField(frame, { id: 'tk-days', name: 'days', label: 'Ends after', value: typed['token.days'] ?? '90', error: errors['token.days'], choices: [{ value: '30', text: '30 days' }, { value: '90', text: '90 days' }, { value: '365', text: 'a year' }, { value: '', text: 'never' }] })}${selectField(frame, { id: 'tk-role', name: 'role', label: 'May do', value: typed['token.role'] ?? '', error: errors['token.role'], choices: [{ value: '', text: 'all that you may' }, ...roleChoices] })}${selectField(frame, { id: 'tk-scope', name: 'scope', label: 'In', value: typed['token.scope'] ?? 'cluster', choices: scopeChoices(data.projects) })}${changeButton(frame, { text: 'Make a token', icon: 'plus', id: 'tk-go' })}</form></section>`
}

function tokenRow(frame: Frame, token: Token): Html {
  const { status } = token
  const expired = status.expiresAt !== null && Date.parse(status.expiresAt) < frame.nowMs
  const word = tokenWords[status.revoked ? 'revoked' : expired ? 'expired' : 'valid']
  return html`<tr role="row"><th role="rowheader" scope="row" class="a-name"><span class="b">${token.name}</span></th><td role="cell" class="a-sub">${state(frame, word)}</td><td role="cell" class="w1">${status.user}</td><td role="cell" class="w1 dim nowrap">${ageTag(frame, status.createdAt)}</td><td role="cell" class="w2 dim nowrap">${status.expiresAt === null ? 'never' : timeTag(frame, status.expiresAt)}</td><td role="cell" class="w1">${token.spec.bindings === undefined ? 'all that its user may' : token.spec.bindings.length === 0 ? 'nothing' : token.spec.bindings.map(roleText).join(', ')}</td><td role="cell" class="w2 dim nowrap">${status.lastUsedAt === null ? 'not lately' : agoTag(frame, status.lastUsedAt)}</td><td role="cell" class="a-act num">${
    status.revoked ? '' : html`<form method="post" action="/access/tokens/${token.id}/revoke">${hiddenFields(frame)}${changeButton(frame, { text: 'Revoke', look: 'bare risk', id: `revoke-${token.id}` })}</form>`
  }</td></tr>`
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
