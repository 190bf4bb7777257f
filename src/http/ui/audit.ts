// The page of the audit; its files come straight from the API.
import { Hono } from 'hono'
import { auditListDefaults, auditPage } from '../../../ui/views/audit.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { ask } from './list-query.ts'
import { answerPage, requestFrame, type Ui } from './page.ts'

export function auditRoutes(ui: Ui): Hono<HttpEnv> {
  return new Hono<HttpEnv>().get('/audit', (context) => {
    const caller = callerOf(context)
    const frame = requestFrame(ui, context)
    const listed = ask(context, auditListDefaults, (query) => ui.app.records.audit(caller, query))
    return answerPage(ui, context, frame, { title: 'Audit', section: 'audit' }, auditPage(frame, { ...listed, list: { ...listed.list, path: '/audit' } }))
  })
}
