// One user: roles, sessions, password, shutting out, deleting.
import { html } from 'hono/html'
import type { RoleResource } from '../../src/model/role.ts'
import type { SessionView } from '../../src/model/session.ts'
import { passwordCharactersMin, type User } from '../../src/model/user.ts'
import { agoTag, timeTag } from './figures.ts'
import { changeButton, confirmField, hiddenFields, selectField, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf } from './note.ts'
import { sessionsCard } from './sessions.ts'
import { roleChoices, roleText, scopeChoices, userState } from './users.ts'

export type UserPage = {
  readonly user: User
  readonly bindings: readonly RoleResource[]
  readonly sessions: readonly SessionView[]
  readonly projects: readonly string[]
  /** Whether it is the reader. */
  readonly own: boolean
  readonly errors: Readonly<Record<string, string>>
  readonly done: string | null
  /** The page was asked with the delete dialog. */
  readonly deleting: boolean
}

export function userPage(frame: Frame, data: UserPage): Html {
  const { user, own } = data
  const path = `/users/${user.name}`
  return html`<div class="head"><div><div class="row title"><h1>${user.name}</h1>${userState(frame, user)}${own ? html`<span class="tag">you</span>` : ''}${asOf(frame)}</div><p>${user.spec.displayName === '' ? 'A user' : user.spec.displayName}; made ${timeTag(frame, user.status.createdAt)}, ${user.status.lastSeenAt === null ? 'not seen lately' : html`last seen ${agoTag(frame, user.status.lastSeenAt)}`}.</p></div><div class="row"><form method="post" action="${path}/${user.spec.disabled ? 'enable' : 'disable'}">${hiddenFields(frame)}${changeButton(frame, user.spec.disabled ? { text: 'Enable', icon: 'check', id: 'enable' } : { text: 'Disable', icon: 'lock', look: 'risk', id: 'disable', refusal: own ? 'You cannot shut yourself out' : null })}</form><a class="btn risk" href="${path}/delete" data-change${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>${icon(frame, 'trash')}Delete…</a></div></div>
${data.done === null ? '' : html`<div class="note" role="status">${icon(frame, 's-ok', 'ok')}<p>${data.done}</p></div>`}
<div class="grid"><div class="c8 col wide">${rolesCard(frame, data)}${sessionsCard(frame, { sessions: data.sessions, path, userName: user.name, own })}</div><div class="c4 col wide">${profileCard(frame, data)}${own ? '' : passwordCard(frame, data)}</div></div>
${data.deleting ? deleteDialog(frame, data) : ''}`
}

function rolesCard(frame: Frame, { user, bindings, projects, errors }: UserPage): Html {
  const path = `/users/${user.name}/roles`
  return html`<section class="card" id="roles" aria-labelledby="ro-h"><header><div><h2 id="ro-h">Roles</h2><p>An operator changes VMs and images, a viewer looks, an administrator does all.</p></div></header>${
    bindings.length === 0
      ? html`<p class="in dim">${user.name} has no role: nothing but the own page is shown.</p>`
      : html`<table role="table" class="tbl cards"><caption class="vh">Roles</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Role</th><th role="columnheader" scope="col">Where</th><th role="columnheader" scope="col"><span class="vh">Actions</span></th></tr></thead><tbody role="rowgroup">${bindings.map(
          ({ id, spec }) => html`<tr role="row"><th role="rowheader" scope="row" class="a-name">${spec.role}</th><td role="cell" class="a-sub">${spec.scope === 'cluster' ? 'the whole cluster' : spec.scope.replace(':', ' ')}</td><td role="cell" class="a-act num"><form method="post" action="${path}/${id}/revoke">${hiddenFields(frame)}${changeButton(frame, { text: `Revoke ${roleText(spec)}`, icon: 'x', look: 'bare sq risk', id: `revoke-${id}` })}</form></td></tr>`,
        )}</tbody></table>`
  }<form class="in row join" method="post" action="${path}">${hiddenFields(frame)}${selectField(frame, { id: 'ro-role', name: 'role', label: 'Give the role', value: 'operator', error: errors['role'], choices: roleChoices })}${selectField(frame, { id: 'ro-scope', name: 'scope', label: 'In', value: 'cluster', error: errors['scope'], choices: scopeChoices(projects) })}${changeButton(frame, { text: 'Grant', icon: 'plus', id: 'ro-go' })}</form></section>`
}

function profileCard(frame: Frame, { user, errors }: UserPage): Html {
  return html`<section class="card" aria-labelledby="pr-h"><header><h2 id="pr-h">Name for people</h2></header><form class="in col wide" method="post" action="/users/${user.name}/profile">${hiddenFields(frame)}${textField(frame, { id: 'pr-display', name: 'displayName', label: 'Name for people', value: user.spec.displayName, error: errors['displayName'] })}<div>${changeButton(frame, { text: 'Save', id: 'pr-go' })}</div></form></section>`
}

function passwordCard(frame: Frame, { user, errors }: UserPage): Html {
  return html`<section class="card" id="password" aria-labelledby="pw-h"><header><div><h2 id="pw-h">Password</h2><p>A new one ends all sessions of ${user.name}.</p></div></header><form class="in col wide" method="post" action="/users/${user.name}/password">${hiddenFields(frame)}<input type="text" class="vh" name="username" value="${user.name}" autocomplete="username" tabindex="-1" aria-hidden="true" readonly>${textField(frame, { id: 'pw-new', name: 'password', label: 'New password', type: 'password', autocomplete: 'new-password', help: `At least ${passwordCharactersMin} characters.`, error: errors['password'] })}<div>${changeButton(frame, { text: 'Set password', id: 'pw-go' })}</div></form></section>`
}

function deleteDialog(frame: Frame, { user, errors }: UserPage): Html {
  const path = `/users/${user.name}`
  return html`<dialog id="delete-user" aria-labelledby="du-h" data-open open><form method="post" action="${path}/delete">${hiddenFields(frame)}<div class="hd"><h2 id="du-h">Delete ${user.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in"><p>Roles, API tokens and sessions of ${user.name} go too. What ${user.name} made stays.</p>${confirmField(frame, { id: 'user-confirm', text: user.name, error: errors['confirm'] })}</div><div class="ft"><a class="btn" href="${path}" data-do="close">Cancel</a>${changeButton(frame, { text: `Delete ${user.name}`, look: 'main risk', armed: true, id: 'delete-go' })}</div></form></dialog>`
}
