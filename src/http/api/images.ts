// Routes of images; an import's body is the file itself and is never held in memory.
import { imageImportSchema } from '../../model/image.ts'
import { listParameters, listQueryOf, readParameters, writeParameters, type QueryParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/images'
const { shape } = imageImportSchema
const importParameters = {
  name: { from: 'text', schema: shape.name, required: true },
  sha256: { from: 'text', schema: shape.sha256 },
  os: { from: 'text', schema: shape.os },
} as const satisfies QueryParameters

export const imageRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listImages', tag: 'Images', summary: 'List images', credential: 'caller', query: listParameters,
    answers: { 200: { description: 'A page of images', schema: schemas.imageList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.images.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'importImage', tag: 'Images', summary: 'Import an image: the body is a qcow2 or raw file, which stays on this node', credential: 'caller',
    query: importParameters, body: { required: true, types: ['application/octet-stream'], schema: 'binary' },
    answers: { 201: { description: 'The image', schema: schemas.image } },
    errors: ['INVALID', 'NAME_TAKEN', 'IMAGE_UNREADABLE', 'IMAGE_CHECKSUM', 'STORAGE_FULL', 'STORAGE_FAILED'],
    handle: async (caller, { app, query, stream, write }) => {
      const image = await app.images.import(caller, query, stream(), write)
      return answerResource(201, image, `${base}/${image.id}`)
    },
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getImage', tag: 'Images', summary: 'Show an image', credential: 'caller', query: readParameters,
    answers: { 200: { description: 'The image', schema: schemas.image } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.images.get(caller, params['ref']!)),
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'deleteImage', tag: 'Images', summary: 'Delete an image from every node', credential: 'caller', query: writeParameters,
    answers: { 204: { description: 'Deleted' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'IN_USE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.images.delete(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]
