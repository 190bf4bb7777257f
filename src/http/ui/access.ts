// The page of access: own password, tokens, users, join tokens, audit.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import { accessPage, auditListDefaults, type Access, type AccessErrors } from '../../../ui/views/access.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { ask } from './list-query.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

const shownMax = 200

export function accessRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/access', (context) => answerAccess(ui, context, { done: doneWords[new URL(context.req.url).searchParams.get('done') ?? ''] ?? null }))
    .post('/access/password', (context) => changePassword(ui, context))
    .post('/access/tokens', (context) => createToken(ui, context))
    .post('/access/tokens/:ref/revoke', async (context) => {
      await app.tokens.revoke(callerOf(context), refOf(context), writeOptionsOf(context))
      return answerRedirect(context, '/access?done=token-revoked#tokens')
    })
    .post('/access/users', (context) => createUser(ui, context))
    .post('/access/users/:ref/delete', async (context) => {
      const caller = callerOf(context)
      const user = app.users.get(caller, refOf(context))
      if (fieldOf(formOf(context), 'confirm') !== user.name) throw new OperationalError('INVALID', `Nothing was changed: the name ${user.name} has to be sent with it.`)
      await app.users.delete(caller, user.id, writeOptionsOf(context))
      return answerRedirect(context, '/access?done=user-removed#users')
    })
    .post('/access/join-tokens', async (context) => {
      const lifeSeconds = Number(fieldOf(formOf(context), 'life'))
      const made = await app.membership.createJoinToken(callerOf(context), { lifeSeconds }, writeOptionsOf(context))
      return answerAccess(ui, context, { secret: { kind: 'join', secret: made.token, name: '' } })
    })
    .post('/access/join-tokens/:ref/revoke', async (context) => {
      await app.membership.revokeJoinToken(callerOf(context), refOf(context), writeOptionsOf(context))
      return answerRedirect(context, '/access?done=join-revoked#join')
    })
}

/** What a page may say was done; words of ours, never those of the URL. */
const doneWords: Readonly<Record<string, string>> = {
  password: 'Your password is changed.', 'token-revoked': 'The token is revoked; it opens nothing any more.', 'user-added': 'The user is added.', 'user-removed': 'The user is removed.', 'join-revoked': 'The join token is revoked.',
}

/** A list that its reader may not see is left out of the page. */
function permitted<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'FORBIDDEN') return null
    throw error
  }
}

type Extra = Partial<Pick<Access, 'errors' | 'typed' | 'secret' | 'done'>>

function readAccess(ui: Ui, context: UiContext, caller: Caller, extra: Extra): Access {
  const { app } = ui
  const all = { limit: shownMax, after: null, sort: null, filter: null }
  const audit = permitted(() => ask(context, auditListDefaults, (query) => app.records.audit(caller, query)))
  return {
    userId: caller.userId,
    tokens: permitted(() => app.tokens.list(caller, all).items) ?? [],
    users: permitted(() => app.users.list(caller, all).items),
    joinTokens: permitted(() => app.membership.listJoinTokens(caller)),
    audit: audit === null ? null : { ...audit, list: { ...audit.list, path: '/access' } },
    errors: {}, typed: {}, secret: null, done: null,
    ...extra,
  }
}

function answerAccess(ui: Ui, context: UiContext, extra: Extra, status = 200): Response | Promise<Response> {
  const frame = requestFrame(ui, context)
  return answerPage(ui, context, frame, { title: 'Access', section: 'access', status }, accessPage(frame, readAccess(ui, context, callerOf(context), extra)))
}

/** Shows the page again with the errors at the fields of one form; an error without fields goes to `otherwise`. */
function answerErrors(ui: Ui, context: UiContext, error: unknown, form: { readonly name: string; readonly otherwise: string; readonly paths: Readonly<Record<string, string>>; readonly typed?: Readonly<Record<string, string>> }): Response | Promise<Response> {
  const problem = problemOf(error)
  const errors: Record<string, string> = {}
  for (const field of problem.fields) {
    const name = form.paths[field.path]
    if (name !== undefined) errors[`${form.name}.${name}`] ??= `${field.message.charAt(0).toUpperCase()}${field.message.slice(1)}.`
  }
  if (Object.keys(errors).length === 0) errors[`${form.name}.${form.otherwise}`] = problem.detail
  return answerAccess(ui, context, { errors: errors as AccessErrors, ...(form.typed === undefined ? {} : { typed: form.typed }) }, statusOf(error))
}

async function changePassword(ui: Ui, context: UiContext): Promise<Response> {
  const caller = callerOf(context)
  const form = formOf(context)
  const password = form.get('password') ?? ''
  if (password !== (form.get('again') ?? '')) return answerAccess(ui, context, { errors: { 'password.again': 'The two are not the same.' } }, 422)
  try {
    await ui.app.users.setPassword(caller, caller.userId, { current: form.get('current') ?? '', password }, writeOptionsOf(context))
  } catch (error) {
    return answerErrors(ui, context, error, { name: 'password', otherwise: 'current', paths: { current: 'current', password: 'password' } })
  }
  return answerRedirect(context, '/access?done=password')
}

async function createToken(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const name = fieldOf(form, 'name')
  const days = fieldOf(form, 'days')
  try {
    const token = await ui.app.tokens.create(callerOf(context), { name, spec: days === '' ? {} : { expiresInDays: Number(days) } }, writeOptionsOf(context))
    if ('dryRun' in token) return answerRedirect(context, '/access')
    // Sent twice, the second answer has no secret: it is kept nowhere.
    if (token.secret === undefined) return answerAccess(ui, context, { done: `Token ${token.name} was made already. Its secret is not kept; revoke it and make another if it was lost.` })
    return answerAccess(ui, context, { secret: { kind: 'token', secret: token.secret, name: token.name } })
  } catch (error) {
    return answerErrors(ui, context, error, { name: 'token', otherwise: 'name', paths: { name: 'name', 'spec.expiresInDays': 'days' }, typed: { 'token.name': name, 'token.days': days } })
  }
}

async function createUser(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const name = fieldOf(form, 'name')
  const role = fieldOf(form, 'role')
  try {
    await ui.app.users.create(callerOf(context), { name, spec: { bindings: [{ role, scope: '*' }] }, password: form.get('password') ?? '' }, writeOptionsOf(context))
  } catch (error) {
    return answerErrors(ui, context, error, { name: 'user', otherwise: 'name', paths: { name: 'name', password: 'password', 'spec.bindings.0.role': 'role' }, typed: { 'user.name': name, 'user.role': role } })
  }
  return answerRedirect(context, '/access?done=user-added#users')
}
