// Pages of users: the list, and one of them.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { userPage, type UserPage } from '../../../ui/views/user.ts'
import { userListDefaults, usersPage, type UserList } from '../../../ui/views/users.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { fieldErrorsOf } from './field-errors.ts'
import { ask } from './list-query.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, statusOf, writeOptionsOf } from './write.ts'

const shownMax = 200
const all = { limit: shownMax, after: null, sort: null, filter: null }

/** What a page may say was done; words of ours, never those of the URL. */
const doneWords: Readonly<Record<string, string>> = {
  deleted: 'The user is deleted.', saved: 'Saved.', granted: 'The role is given; it counts at once, on every node.', revoked: 'The role is taken away; that counts at once, on every node.',
  disabled: 'Shut out: signed out everywhere, and tokens open nothing.', enabled: 'Let in again.', password: 'The password is set; all sessions are over.', 'session-ended': 'The session is ended, on every node.', 'signed-out': 'Signed out everywhere.',
}

export function usersRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  const done = (context: UiContext) => doneWords[new URL(context.req.url).searchParams.get('done') ?? ''] ?? null
  const back = (context: UiContext, name: string, word: string, anchor = '') => answerRedirect(context, `/users/${name}?done=${word}${anchor}`)
  return new Hono<HttpEnv>()
    .get('/users', (context) => answerUsers(ui, context, { done: done(context) }))
    .post('/users', (context) => createUser(ui, context))
    .get('/users/:ref', (context) => answerUser(ui, context, { done: done(context) }))
    .get('/users/:ref/delete', (context) => answerUser(ui, context, { deleting: true }))
    .post('/users/:ref/delete', async (context) => {
      const user = app.users.get(callerOf(context), refOf(context))
      if (fieldOf(formOf(context), 'confirm') !== user.name) return answerUser(ui, context, { deleting: true, errors: { confirm: `Type ${user.name} to confirm.` } }, 422)
      await app.users.delete(callerOf(context), user.id, writeOptionsOf(context))
      return answerRedirect(context, '/users?done=deleted')
    })
    .post('/users/:ref/roles', (context) => grantRole(ui, context))
    .post('/users/:ref/roles/:role/revoke', async (context) => {
      await app.roles.revoke(callerOf(context), context.req.param('role'), writeOptionsOf(context))
      return back(context, refOf(context), 'revoked', '#roles')
    })
    .post('/users/:ref/:state{disable|enable}', async (context) => {
      const disabled = context.req.param('state') === 'disable'
      const user = await app.users.patch(callerOf(context), refOf(context), { spec: { disabled } }, writeOptionsOf(context))
      return back(context, 'dryRun' in user ? refOf(context) : user.name, disabled ? 'disabled' : 'enabled')
    })
    .post('/users/:ref/profile', async (context) => {
      try {
        await app.users.patch(callerOf(context), refOf(context), { spec: { displayName: fieldOf(formOf(context), 'displayName') } }, writeOptionsOf(context))
      } catch (error) {
        return answerUser(ui, context, { errors: fieldErrorsOf(error, { otherwise: 'displayName', paths: { 'spec.displayName': 'displayName' } }) }, statusOf(error))
      }
      return back(context, refOf(context), 'saved')
    })
    .post('/users/:ref/password', async (context) => {
      try {
        await app.users.setPassword(callerOf(context), refOf(context), { password: formOf(context).get('password') ?? '' }, writeOptionsOf(context))
      } catch (error) {
        return answerUser(ui, context, { errors: fieldErrorsOf(error, { otherwise: 'password', paths: { password: 'password' } }) }, statusOf(error))
      }
      return back(context, refOf(context), 'password')
    })
    .post('/users/:ref/sign-out', async (context) => {
      await app.sessions.revokeAll(callerOf(context), refOf(context), writeOptionsOf(context))
      return back(context, refOf(context), 'signed-out', '#sessions')
    })
    .post('/users/:ref/sessions/:session/revoke', async (context) => {
      await app.sessions.revoke(callerOf(context), context.req.param('session'), writeOptionsOf(context))
      return back(context, refOf(context), 'session-ended', '#sessions')
    })
}

function projectsOf(ui: Ui, caller: Caller): readonly string[] {
  return ui.app.projects.list(caller, all).items.map((project) => project.name)
}

function answerUsers(ui: Ui, context: UiContext, extra: Partial<Pick<UserList, 'errors' | 'typed' | 'done'>>, status = 200): Response | Promise<Response> {
  const caller = callerOf(context)
  const frame = requestFrame(ui, context)
  const listed = ask(context, userListDefaults, (query) => ui.app.users.list(caller, query))
  const data = { ...listed, list: { ...listed.list, path: '/users' }, projects: projectsOf(ui, caller), errors: {}, typed: {}, done: null, ...extra }
  return answerPage(ui, context, frame, { title: 'Users', section: 'users', status }, usersPage(frame, data))
}

function answerUser(ui: Ui, context: UiContext, extra: Partial<Pick<UserPage, 'errors' | 'done' | 'deleting'>>, status = 200): Response | Promise<Response> {
  const caller = callerOf(context)
  const frame = requestFrame(ui, context)
  const user = ui.app.users.get(caller, refOf(context))
  const data: UserPage = {
    user, own: user.id === caller.userId, projects: projectsOf(ui, caller),
    bindings: ui.app.roles.list(caller, { ...all, filter: `subject:${user.name}` }).items,
    sessions: ui.app.sessions.list(caller, { ...all, filter: `userId:${user.id}` }).items,
    errors: {}, done: null, deleting: false, ...extra,
  }
  return answerPage(ui, context, frame, { title: user.name, section: 'users', crumbs: [{ text: 'Users', href: '/users' }], status }, userPage(frame, data))
}

async function createUser(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const [name, displayName, role, scope] = [fieldOf(form, 'name'), fieldOf(form, 'displayName'), fieldOf(form, 'role'), fieldOf(form, 'scope')]
  try {
    const bindings = role === '' ? [] : [{ role, scope: scope === '' ? 'cluster' : scope }]
    await ui.app.users.create(callerOf(context), { name, spec: { displayName, bindings }, password: form.get('password') ?? '' }, writeOptionsOf(context))
  } catch (error) {
    const errors = fieldErrorsOf(error, { otherwise: 'name', paths: { name: 'name', password: 'password', 'spec.displayName': 'displayName', 'spec.bindings.0.role': 'role', 'spec.bindings.0.scope': 'scope' } })
    return answerUsers(ui, context, { errors, typed: { name, displayName, role, scope } }, statusOf(error))
  }
  return answerRedirect(context, `/users/${name}`)
}

async function grantRole(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const user = ui.app.users.get(callerOf(context), refOf(context))
  try {
    await ui.app.roles.grant(callerOf(context), { spec: { subject: { name: user.id }, role: fieldOf(form, 'role'), scope: fieldOf(form, 'scope') } }, writeOptionsOf(context))
  } catch (error) {
    const errors = fieldErrorsOf(error, { otherwise: 'role', paths: { 'spec.role': 'role', 'spec.scope': 'scope', 'spec.bindings.0.scope': 'scope' } })
    return answerUser(ui, context, { errors }, statusOf(error))
  }
  return answerRedirect(context, `/users/${user.name}?done=granted#roles`)
}
