// From a form to a write: its fields, its key against doing it twice, and the answer to who sent it.
import { createHash } from 'node:crypto'
import type { WriteOptions } from '../../app/face.ts'
import { errorTable, OperationalError } from '../../model/error.ts'
import type { Html } from '../../../ui/views/frame.ts'
import type { Problem } from '../../../ui/views/note.ts'
import type { UiContext } from './page.ts'

/** The fields of the form that came; none where it was no form. */
export function formOf(context: UiContext): URLSearchParams {
  return context.get('form') ?? new URLSearchParams()
}

/** A field's text without blanks around it; empty where it is missing. */
export function fieldOf(form: URLSearchParams, name: string): string {
  return (form.get(name) ?? '').trim()
}

/**
 * Options of the write that a form asks for. The same form sent twice is one write: the key is made of the form's own key
 * and of all that was asked, so a corrected form is another write.
 * @param part tells apart several writes of one form
 */
export function writeOptionsOf(context: UiContext, part = ''): WriteOptions {
  const form = formOf(context)
  const asked = new URLSearchParams([...form].filter(([name]) => name !== '_csrf' && name !== '_key'))
  const { pathname } = new URL(context.req.url)
  const digest = (text: string) => createHash('sha256').update(text).digest('hex')
  const bodyHash = digest(`POST ${pathname} ${part}\n${asked.toString()}`)
  const key = fieldOf(form, '_key')
  return {
    idempotencyKey: key === '' ? null : `page.${digest(`${key}\n${bodyHash}`).slice(0, 40)}`,
    bodyHash, ifMatch: null, dryRun: false, waitSeconds: 0, signal: context.req.raw.signal,
  }
}

/** An operating fault as views show it; anything else is a bug and goes on its way. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof OperationalError)) throw error
  return { code: error.code, title: errorTable[error.code].title, detail: error.message, fields: error.data.fields ?? [] }
}

export function statusOf(error: unknown): number {
  return error instanceof OperationalError ? errorTable[error.code].status : 500
}

export type Part = { readonly target: string; readonly swap: 'outerMorph' | 'innerHTML' | 'innerMorph' | 'beforeend' | 'outerHTML'; readonly html: Html }

/** Several parts of a page in one answer; htmx puts each where it belongs and skips what is not on the page. */
export async function renderParts(parts: readonly Part[]): Promise<string> {
  const texts = await Promise.all(parts.map(async (part) => `<hx-partial hx-target="${part.target}" hx-swap="${part.swap}">${String(await part.html)}</hx-partial>`))
  return texts.join('\n')
}

export async function answerParts(context: UiContext, parts: readonly Part[], status = 200): Promise<Response> {
  context.header('Cache-Control', 'no-store')
  return context.html(await renderParts(parts), status as 200)
}

/** Another page: htmx is told to go there, a browser is sent. */
export function answerRedirect(context: UiContext, path: string): Response {
  if (context.req.header('HX-Request') !== 'true') return context.redirect(path, 303)
  context.header('HX-Redirect', path)
  return context.body(null, 200)
}
