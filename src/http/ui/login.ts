// Signing in and out.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import type { HttpEnv } from '../context.ts'
import { addressOf, callerOf } from '../context.ts'
import { OperationalError } from '../../model/error.ts'
import { loginPage, type LoginForm } from '../../../ui/views/login.ts'
import { looksOf, type Ui, type UiContext } from './page.ts'
import { fieldOf, formOf, statusOf } from './write.ts'

export function loginRoutes(ui: Ui): Hono<HttpEnv> {
  const { app, options } = ui
  return new Hono<HttpEnv>()
    .get('/login', (context) => {
      const next = localPath(new URL(context.req.url).searchParams.get('next') ?? '/')
      if (context.get('caller')) return context.redirect(next, 303)
      return answerLogin(ui, context, { name: '', next, error: null }, 200)
    })
    .post('/login', async (context) => {
      const form = formOf(context)
      const name = fieldOf(form, 'name')
      const next = localPath(fieldOf(form, 'next'))
      try {
        const signedIn = await app.identity.signIn({ name, password: form.get('password') ?? '', address: addressOf(context.env.incoming), agent: context.req.header('User-Agent') ?? '' })
        options.setSessionCookie(context, signedIn.cookie, signedIn.expiresMs)
        return context.redirect(next, 303)
      } catch (error) {
        if (!(error instanceof OperationalError)) throw error
        if (error.data.retryAfterSeconds !== undefined) context.header('Retry-After', String(Math.max(1, Math.ceil(error.data.retryAfterSeconds))))
        return answerLogin(ui, context, { name, next, error: error.message }, statusOf(error))
      }
    })
    .post('/logout', async (context) => {
      // The cookie goes in any case: without quorum the revocation fails, yet this browser is signed out.
      options.clearSessionCookie(context)
      await revoke(ui, callerOf(context))
      return context.redirect('/login', 303)
    })
}

/** A leader that changes at this moment is asked once more. */
async function revoke(ui: Ui, caller: Caller): Promise<void> {
  for (let tries = 1; tries <= 2; tries++) {
    try {
      return await ui.app.identity.signOut(caller)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      if (error.code !== 'OUTCOME_UNKNOWN' || tries === 2) ui.options.log.warn('sign-out was not revoked everywhere', { code: error.code })
      if (error.code !== 'OUTCOME_UNKNOWN') return
    }
  }
}

function answerLogin(ui: Ui, context: UiContext, form: LoginForm, status: number): Response | Promise<Response> {
  const freshness = ui.app.freshness()
  context.header('Cache-Control', 'no-store')
  context.status(status as 200)
  const looks = looksOf(context.req.raw.headers)
  return context.html(loginPage({ asset: ui.options.assetUrl, theme: looks.theme, cluster: { name: freshness.clusterName, node: freshness.node.name, quorum: freshness.quorum } }, form))
}

/** A path on this site; anything that a browser could read as another site's becomes the overview. */
export function localPath(next: string): string {
  if (!/^\/(?![/\\])[^\\\u0000-\u0020\u007f]*$/.test(next) || next.startsWith('/login')) return '/'
  return next
}
