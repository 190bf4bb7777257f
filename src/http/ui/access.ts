// The own page: password, sessions, API tokens; join tokens for administrators.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { accessPage, type Access } from '../../../ui/views/access.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { fieldErrorsOf } from './field-errors.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { permitted } from './permitted.ts'
import { answerRedirect, fieldOf, formOf, statusOf, writeOptionsOf } from './write.ts'

const shownMax = 200

export function accessRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/access', (context) => answerAccess(ui, context, { done: doneWords[new URL(context.req.url).searchParams.get('done') ?? ''] ?? null }))
    .post('/access/password', (context) => changePassword(ui, context))
    .post('/access/sign-out', async (context) => {
      const caller = callerOf(context)
      await app.sessions.revokeAll(caller, caller.userId, writeOptionsOf(context))
      ui.options.clearSessionCookie(context)
      return answerRedirect(context, '/login')
    })
    .post('/access/sessions/:ref/revoke', async (context) => {
      await app.sessions.revoke(callerOf(context), refOf(context), writeOptionsOf(context))
      return answerRedirect(context, '/access?done=session-ended#sessions')
    })
    .post('/access/tokens', (context) => createToken(ui, context))
    .post('/access/tokens/:ref/revoke', async (context) => {
      await app.tokens.revoke(callerOf(context), refOf(context), writeOptionsOf(context))
      return answerRedirect(context, '/access?done=token-revoked#tokens')
    })
    .post('/access/join-tokens', async (context) => {
      const lifeSeconds = Number(fieldOf(formOf(context), 'life'))
      const made = await app.membership.createJoinToken(callerOf(context), { lifeSeconds }, writeOptionsOf(context))
      return answerAccess(ui, context, 'dryRun' in made ? {} : { secret: { kind: 'join', secret: made.token, name: '' } })
    })
    .post('/access/join-tokens/:ref/revoke', async (context) => {
      await app.membership.revokeJoinToken(callerOf(context), refOf(context), writeOptionsOf(context))
      return answerRedirect(context, '/access?done=join-revoked#join')
    })
}

/** What a page may say was done; words of ours, never those of the URL. */
const doneWords: Readonly<Record<string, string>> = {
  password: 'Your password is changed.', 'token-revoked': 'The token is revoked; it opens nothing any more.', 'join-revoked': 'The join token is revoked.', 'session-ended': 'The session is ended, on every node.',
}

type Extra = Partial<Pick<Access, 'errors' | 'typed' | 'secret' | 'done'>>

function readAccess(ui: Ui, caller: Caller, extra: Extra): Access {
  const { app } = ui
  const all = { limit: shownMax, after: null, sort: null, filter: null }
  return {
    bindings: caller.bindings,
    tokens: app.tokens.list(caller, all).items,
    sessions: app.sessions.list(caller, { ...all, filter: `userId:${caller.userId}` }).items,
    projects: app.projects.list(caller, all).items.map((project) => project.name),
    joinTokens: permitted(() => app.membership.listJoinTokens(caller)),
    errors: {}, typed: {}, secret: null, done: null,
    ...extra,
  }
}

function answerAccess(ui: Ui, context: UiContext, extra: Extra, status = 200): Response | Promise<Response> {
  const frame = requestFrame(ui, context)
  return answerPage(ui, context, frame, { title: 'Access', section: 'access', live: 'page=access', status }, accessPage(frame, readAccess(ui, callerOf(context), extra)))
}

async function changePassword(ui: Ui, context: UiContext): Promise<Response> {
  const caller = callerOf(context)
  const form = formOf(context)
  const password = form.get('password') ?? ''
  if (password !== (form.get('again') ?? '')) return answerAccess(ui, context, { errors: { 'password.again': 'The two are not the same.' } }, 422)
  try {
    await ui.app.users.setPassword(caller, caller.userId, { current: form.get('current') ?? '', password }, writeOptionsOf(context))
  } catch (error) {
    return answerAccess(ui, context, { errors: fieldErrorsOf(error, { prefix: 'password.', otherwise: 'current', paths: { current: 'current', password: 'password' } }) }, statusOf(error))
  }
  return answerRedirect(context, '/access?done=password')
}

async function createToken(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const [name, days, role, scope] = [fieldOf(form, 'name'), fieldOf(form, 'days'), fieldOf(form, 'role'), fieldOf(form, 'scope')]
  try {
    const spec = { ...(days === '' ? {} : { expiresInDays: Number(days) }), ...(role === '' ? {} : { bindings: [{ role, scope: scope === '' ? 'cluster' : scope }] }) }
    const token = await ui.app.tokens.create(callerOf(context), { name, spec }, writeOptionsOf(context))
    if ('dryRun' in token) return answerRedirect(context, '/access')
    // Sent twice, the second answer has no secret: it is kept nowhere.
    if (token.secret === undefined) return answerAccess(ui, context, { done: `Token ${token.name} was made already. Its secret is not kept; revoke it and make another if it was lost.` })
    return answerAccess(ui, context, { secret: { kind: 'token', secret: token.secret, name: token.name } })
  } catch (error) {
    const errors = fieldErrorsOf(error, { prefix: 'token.', otherwise: 'name', paths: { name: 'name', 'spec.expiresInDays': 'days', 'spec.bindings.0': 'role', 'spec.bindings.0.role': 'role', 'spec.bindings.0.scope': 'role' } })
    return answerAccess(ui, context, { errors, typed: { 'token.name': name, 'token.days': days, 'token.role': role, 'token.scope': scope } }, statusOf(error))
  }
}
