// The list of images and their deletion; the upload goes straight to the API.
import { Hono } from 'hono'
import { imageListDefaults, imagesPage } from '../../../ui/views/images.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { ask } from './list-query.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, writeOptionsOf } from './write.ts'

export function imagesRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/images', (context) => answerImages(ui, context, null))
    .get('/images/:ref/delete', (context) => answerImages(ui, context, {}))
    .post('/images/:ref/delete', async (context) => {
      const caller = callerOf(context)
      const image = app.images.get(caller, refOf(context))
      if (fieldOf(formOf(context), 'confirm') !== image.name) return answerImages(ui, context, { error: `Type ${image.name} to confirm.` }, 422)
      await app.images.delete(caller, image.id, writeOptionsOf(context))
      return answerRedirect(context, '/images')
    })
}

function answerImages(ui: Ui, context: UiContext, deleting: { readonly error?: string } | null, status = 200): Response | Promise<Response> {
  const caller = callerOf(context)
  const frame = requestFrame(ui, context)
  const listed = ask(context, imageListDefaults, (query) => ui.app.images.list(caller, query))
  const image = deleting === null ? null : ui.app.images.get(caller, refOf(context))
  const data = { ...listed, list: { ...listed.list, path: '/images' }, deleting: image === null ? null : { image, ...deleting } }
  return answerPage(ui, context, frame, { title: 'Images', section: 'images', status }, imagesPage(frame, data))
}
