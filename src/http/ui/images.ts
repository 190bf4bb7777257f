// The list of images with import from an address, edit and deletion; an upload goes straight to the API.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import type { Operation } from '../../model/operation.ts'
import { imageListDefaults, imageSection, imagesPage, imagesScripts, importingCards, type ImageList } from '../../../ui/views/images.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { ask, askUrl } from './list-query.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

const importingShown = 10

export function imagesRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  const imageOf = (context: UiContext) => app.images.get(callerOf(context), refOf(context))
  return new Hono<HttpEnv>()
    .get('/images', (context) => answerImages(ui, context, {}))
    .post('/images/import', (context) => importUrl(ui, context))
    .get('/images/:ref/edit', (context) => answerImages(ui, context, { dialog: { kind: 'edit', image: imageOf(context) } }))
    .post('/images/:ref/edit', (context) => edit(ui, context))
    .get('/images/:ref/delete', (context) => answerImages(ui, context, { dialog: { kind: 'delete', image: imageOf(context) } }))
    .post('/images/:ref/delete', async (context) => {
      const image = imageOf(context)
      if (fieldOf(formOf(context), 'confirm') !== image.name) return answerImages(ui, context, { dialog: { kind: 'delete', image, error: `Type ${image.name} to confirm.` }, status: 422 })
      await app.images.delete(callerOf(context), image.id, writeOptionsOf(context))
      return answerRedirect(context, '/images')
    })
}

async function importUrl(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const values = { name: fieldOf(form, 'name'), url: fieldOf(form, 'url'), sha256: fieldOf(form, 'sha256').toLowerCase(), copies: fieldOf(form, 'copies') }
  try {
    const source = { url: values.url, ...(values.sha256 === '' ? {} : { sha256: values.sha256 }) }
    await ui.app.images.importUrl(callerOf(context), { name: values.name, spec: { source, ...copiesOf(values.copies) } }, writeOptionsOf(context))
    return answerRedirect(context, '/images')
  } catch (error) {
    return answerImages(ui, context, { refused: { problem: problemOf(error), values }, status: statusOf(error) })
  }
}

async function edit(ui: Ui, context: UiContext): Promise<Response> {
  const caller = callerOf(context)
  const image = ui.app.images.get(caller, refOf(context))
  const form = formOf(context)
  const values = { name: fieldOf(form, 'name'), copies: fieldOf(form, 'copies'), labels: fieldOf(form, 'labels') }
  try {
    const labels = labelsOf(values.labels)
    const gone = Object.fromEntries(Object.keys(image.labels).filter((key) => !Object.hasOwn(labels, key)).map((key) => [key, null]))
    const body = { revision: Number(fieldOf(form, 'revision')), name: values.name, labels: { ...labels, ...gone }, spec: copiesOf(values.copies) }
    await ui.app.images.patch(caller, image.id, body, writeOptionsOf(context))
    return answerRedirect(context, '/images')
  } catch (error) {
    return answerImages(ui, context, { dialog: { kind: 'edit', image, problem: problemOf(error), values }, status: statusOf(error) })
  }
}

/** What is no number goes on as it is: the use case says what is wrong with it. */
function copiesOf(text: string): { readonly copies?: unknown } {
  if (text === '') return {}
  return { copies: /^\d{1,4}$/.test(text) ? Number(text) : text }
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const part of text.split(',').map((each) => each.trim()).filter((each) => each !== '')) {
    const at = part.indexOf('=')
    if (at === 0) throw new OperationalError('INVALID', `${part} is no label: labels are key=value.`, { data: { fields: [{ path: 'labels', message: 'must be key=value, by commas' }] } })
    labels[at < 0 ? part : part.slice(0, at)] = at < 0 ? '' : part.slice(at + 1)
  }
  return labels
}

type Extra = Partial<Pick<ImageList, 'dialog' | 'refused'>> & { readonly status?: number }

function answerImages(ui: Ui, context: UiContext, extra: Extra): Response | Promise<Response> {
  const caller = callerOf(context)
  const frame = requestFrame(ui, context)
  const listed = ask(context, imageListDefaults, (query) => ui.app.images.list(caller, query))
  const data: ImageList = { ...listed, list: { ...listed.list, path: '/images' }, importing: importingOf(ui, caller), dialog: extra.dialog ?? null, refused: extra.refused ?? null }
  const query = new URL(context.req.url).searchParams.toString()
  const live = `page=images${query === '' ? '' : `&${query}`}`
  return answerPage(ui, context, frame, { title: 'Images', section: 'images', status: extra.status ?? 200, scripts: imagesScripts(frame), live }, imagesPage(frame, data))
}

function importingOf(ui: Ui, caller: Caller): readonly Operation[] {
  return ui.app.operations.list(caller, { limit: importingShown, after: null, sort: null, filter: 'state:running operation:image-import' }).items
}

export function imagesCells(ui: Ui, caller: Caller, query: URLSearchParams): (frame: Frame) => Cell[] {
  const url = new URL(`https://list/images?${query.toString()}`)
  return (frame) => [
    { id: 'importing', html: importingCards(frame, importingOf(ui, caller)) },
    { id: 'images', html: imageSection(frame, askUrl(url, imageListDefaults, (list) => ui.app.images.list(caller, list))) },
  ]
}
