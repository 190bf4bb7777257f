// All pages, mounted at /.
import { Hono } from 'hono'
import type { App } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import type { HttpEnv, UiOptions } from '../context.ts'
import { accessRoutes } from './access.ts'
import { auditRoutes } from './audit.ts'
import { recoveryRoutes } from './recovery.ts'
import { consensusRoutes } from './consensus.ts'
import { answerPageError } from './errors.ts'
import { eventsRoutes } from './events.ts'
import { imagesRoutes } from './images.ts'
import { liveRoutes } from './live.ts'
import { loginRoutes } from './login.ts'
import { nodesRoutes } from './nodes.ts'
import { operationsRoutes } from './operations.ts'
import { overviewRoutes } from './overview.ts'
import type { Ui } from './page.ts'
import { projectsRoutes } from './projects.ts'
import { searchRoutes } from './search.ts'
import { usersRoutes } from './users.ts'
import { vmRoutes } from './vm.ts'
import { vmFormRoutes } from './vm-form.ts'
import { vmMigrateRoutes } from './vm-migrate.ts'
import { vmsRoutes } from './vms.ts'

/** The pages of a node. Who asks and whose form it is was checked before. */
export function uiRoutes(app: App, options: UiOptions): Hono<HttpEnv> {
  const ui: Ui = { app, options }
  const pages = new Hono<HttpEnv>()
  pages.onError((error, context) => answerPageError(ui, context, error))
  pages.use('*', async (context, next) => {
    await next()
    // Patterns, not paths: metrics count pages, not VMs.
    if (context.get('route') === 'other') context.set('route', `/${context.req.path.split('/')[1] ?? ''}`)
  })
  // Forms first: /vms/new is no VM's name here.
  const parts = [loginRoutes, overviewRoutes, vmFormRoutes, vmsRoutes, vmMigrateRoutes, vmRoutes, nodesRoutes, consensusRoutes, imagesRoutes, operationsRoutes, eventsRoutes, accessRoutes, usersRoutes, projectsRoutes, auditRoutes, recoveryRoutes, searchRoutes, liveRoutes]
  for (const part of parts) pages.route('/', part(ui))
  // A person gets a page that says so; a program gets the answer of the API.
  pages.get('*', (context, next) => {
    const wantsPage = (context.req.header('Accept') ?? '').includes('text/html') && !context.req.path.startsWith('/api/')
    if (!wantsPage) return next()
    throw new OperationalError('NOT_FOUND', `No page lies at ${context.req.path.slice(0, 120)}.`)
  })
  return pages
}
