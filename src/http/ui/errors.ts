// Errors of pages: in place for htmx, as a page that keeps the shell for a browser.
import { randomBytes } from 'node:crypto'
import { OperationalError, errorTable } from '../../model/error.ts'
import { errorPage } from '../../../ui/views/error.ts'
import { problemNote, type Problem } from '../../../ui/views/note.ts'
import { problemResponse } from '../problem.ts'
import { answerPage, isPartial, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerParts } from './write.ts'

/** Answers anything that a page's route threw. */
export async function answerPageError(ui: Ui, context: UiContext, error: unknown): Promise<Response> {
  const requestId = randomBytes(8).toString('hex')
  const fault = error instanceof OperationalError ? error : null
  if (fault === null) {
    // A request that was broken off is nobody's fault, and nobody reads its answer.
    if (error instanceof Error && error.name === 'AbortError') return problemResponse(new OperationalError('STOPPING', 'The request was ended before its answer.'))
    ui.options.log.error('page failed', { requestId, path: context.req.path, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
  // Without a caller there is no shell to put it in.
  if (!context.get('caller') || context.req.path === '/ui/events') return problemResponse(error)
  const problem: Problem = fault === null
    ? { code: 'INTERNAL', title: errorTable.INTERNAL.title, detail: 'Something failed in this node. VMs are not affected. The log names the request below.', fields: [] }
    : { code: fault.code, title: errorTable[fault.code].title, detail: fault.message, fields: fault.data.fields ?? [] }
  const status = fault === null ? 500 : errorTable[fault.code].status
  const retryAfter = fault?.data.retryAfterSeconds ?? (status === 503 ? 1 : undefined)
  if (retryAfter !== undefined) context.header('Retry-After', String(Math.max(1, Math.ceil(retryAfter))))
  const frame = requestFrame(ui, context)
  if (isPartial(context)) {
    return answerParts(context, [{ target: '#page-note', swap: 'innerHTML', html: problemNote(frame, problem) }], status)
  }
  return answerPage(ui, context, frame, { title: titleOf(status), section: sectionOf(context.req.path), slim: true, status }, errorPage(frame, { status, problem, requestId, back: backOf(context.req.path) }))
}

function titleOf(status: number): string {
  if (status === 404) return 'Not found'
  if (status === 403) return 'Not allowed'
  return status >= 500 ? 'Error' : 'Not done'
}

const sections = ['vms', 'images', 'nodes', 'operations', 'events', 'access', 'users', 'projects', 'audit'] as const

function sectionOf(path: string): (typeof sections)[number] | '' {
  return sections.find((section) => path.split('/')[1] === section) ?? ''
}

function backOf(path: string): { readonly href: string; readonly text: string } {
  const section = sectionOf(path)
  const texts = { vms: 'All virtual machines', images: 'All images', nodes: 'All nodes', operations: 'All operations', events: 'All events', access: 'Back to access', users: 'All users', projects: 'All projects', audit: 'The audit' } as const
  return section === '' ? { href: '/', text: 'Overview' } : { href: `/${section}`, text: texts[section] }
}
