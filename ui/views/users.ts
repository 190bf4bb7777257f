// Users: the list with a form for a new one.
import { html } from 'hono/html'
import { roles } from '../../src/model/role.ts'
import { passwordCharactersMin, type User } from '../../src/model/user.ts'
import { ageTag, agoTag } from './figures.ts'
import { changeButton, hiddenFields, selectField, textField, type Choice } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'
import { state, type StateWord } from './state.ts'
import { columnHeads, filterForm, pager, type Column, type ListState } from './table.ts'

export const userListDefaults = { sort: 'name', limit: 25 } as const

export type UserList = {
  readonly items: readonly User[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly mistake: string | null
  readonly projects: readonly string[]
  readonly errors: Readonly<Record<string, string>>
  readonly typed: Readonly<Record<string, string>>
  readonly done: string | null
}

const columns: readonly Column[] = [
  { text: 'Name', sort: 'name' }, { text: 'State' }, { text: 'Roles' }, { text: 'Last seen', look: 'w1' }, { text: 'Made', sort: 'created', look: 'w2' },
]
const enabled: StateWord = { word: 'Enabled', tone: 'ok', icon: 's-ok' }
const disabled: StateWord = { word: 'Disabled', tone: 'off', icon: 's-cancelled' }

export function userState(frame: Frame, user: User): Html {
  return state(frame, user.spec.disabled ? disabled : enabled)
}

/** "operator", "viewer of shop". */
export function roleText(binding: { readonly role: string; readonly scope: string }): string {
  return binding.scope === 'cluster' ? binding.role : `${binding.role} of ${binding.scope.replace(/^project:/, '')}`
}

/** Where a role holds: the cluster, or one of the projects. */
export function scopeChoices(projects: readonly string[]): readonly Choice[] {
  return [{ value: 'cluster', text: 'the whole cluster' }, ...projects.map((name) => ({ value: `project:${name}`, text: `project ${name}` }))]
}

export const roleChoices: readonly Choice[] = roles.map((role) => ({ value: role, text: role }))

export function usersPage(frame: Frame, data: UserList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Users</h1>${asOf(frame)}</div><p>People who may sign in, and what they may do.</p></div></div>
${data.done === null ? '' : html`<div class="note" role="status">${icon(frame, 's-ok', 'ok')}<p>${data.done}</p></div>`}
${filterForm(data.list, { label: 'Filter users', placeholder: 'Name, role:operator, disabled:true', target: '#users', defaults: userListDefaults })}
${userSection(frame, data)}
${newUserCard(frame, data)}`
}

function userSection(frame: Frame, data: UserList): Html {
  if (data.items.length === 0) {
    return html`<section class="card" id="users" aria-label="User list">${emptyNote(frame, { icon: 'user', title: 'No user fits', text: data.mistake ?? `Nothing fits “${data.list.q}”.` })}</section>`
  }
  return html`<section class="card live" id="users" aria-label="User list"><table role="table" class="tbl cards stick" data-rows><caption class="vh">Users</caption><thead role="rowgroup"><tr role="row">${columnHeads(frame, columns, data.list, { target: '#users', defaults: userListDefaults })}</tr></thead><tbody role="rowgroup">${data.items.map((user) => userRow(frame, user))}</tbody></table>${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#users', defaults: userListDefaults, noun: 'users' })}</section>`
}

function userRow(frame: Frame, user: User): Html {
  const { spec, status } = user
  return html`<tr role="row" id="user-${user.id}"><th role="rowheader" scope="row" class="a-name"><a href="/users/${user.name}">${user.name}</a>${spec.displayName === '' ? '' : html` <span class="dim">${spec.displayName}</span>`}</th><td role="cell" class="a-sub">${userState(frame, user)}</td><td role="cell" class="w0">${spec.bindings.length === 0 ? html`<span class="dim">none</span>` : spec.bindings.map(roleText).join(', ')}</td><td role="cell" class="w1 dim nowrap">${status.lastSeenAt === null ? 'not lately' : agoTag(frame, status.lastSeenAt)}</td><td role="cell" class="w2 dim nowrap">${ageTag(frame, status.createdAt)}</td></tr>`
}

function newUserCard(frame: Frame, { errors, typed, projects }: UserList): Html {
  return html`<section class="card" id="new-user" aria-labelledby="nu-h"><header><div><h2 id="nu-h">Add a user</h2><p>More roles can be given afterwards.</p></div></header><form class="in col wide" method="post" action="/users">${hiddenFields(frame)}<div class="two">${textField(frame, { id: 'us-name', name: 'name', label: 'Name', value: typed['name'] ?? '', error: errors['name'], help: 'Lower-case letters, digits and hyphens.' })}${textField(frame, { id: 'us-display', name: 'displayName', label: 'Name for people', value: typed['displayName'] ?? '', error: errors['displayName'] })}${textField(frame, { id: 'us-password', name: 'password', label: 'First password', type: 'password', autocomplete: 'new-password', error: errors['password'], help: `At least ${passwordCharactersMin} characters.` })}${selectField(frame, { id: 'us-role', name: 'role', label: 'Role', value: typed['role'] ?? 'operator', error: errors['role'], choices: [...roleChoices, { value: '', text: 'none yet' }] })}${selectField(frame, { id: 'us-scope', name: 'scope', label: 'In', value: typed['scope'] ?? 'cluster', error: errors['scope'], choices: scopeChoices(projects) })}</div><div>${changeButton(frame, { text: 'Add user', icon: 'plus', look: 'main', id: 'us-go' })}</div></form></section>`
}
