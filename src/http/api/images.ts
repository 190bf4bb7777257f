// Routes of images; an import's body is the file itself and is never held in memory, or JSON that names an address.
import { imageImportSchema } from '../../model/image.ts'
import { OperationalError } from '../../model/error.ts'
import { listParameters, listQueryOf, readParameters, writeParameters, type QueryParameters } from '../query.ts'
import { answerResource, type Answer, type CallerRoute, type RouteRequest } from '../route.ts'
import type { Caller, Written } from '../../app/face.ts'
import { schemas } from './schemas.ts'
import { answerOperation } from './vms.ts'

const base = '/api/v1/images'
const { shape } = imageImportSchema
const importParameters = {
  ...writeParameters,
  name: { from: 'text', schema: shape.name.optional().describe('Needed where the body is the file') },
  sha256: { from: 'text', schema: shape.sha256 },
  os: { from: 'text', schema: shape.os },
  copies: { from: 'text', schema: shape.copies },
} as const satisfies QueryParameters

export const imageRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listImages', tag: 'Images', summary: 'List images', credential: 'caller', right: 'any', query: listParameters,
    answers: { 200: { description: 'A page of images', schema: schemas.imageList } }, errors: ['INVALID'],
    handle: (caller, { app, query }) => ({ status: 200, body: app.images.list(caller, listQueryOf(query)) }),
  },
  {
    method: 'POST', path: base, operationId: 'importImage', tag: 'Images',
    summary: 'Import an image: the body is a qcow2 or raw file, or JSON with the address that this node shall fetch it from; for large files see uploads', credential: 'caller', right: 'operate project',
    query: importParameters, body: { required: true, types: ['application/octet-stream'], schema: 'binary', json: schemas.imageFromUrl },
    answers: { 201: { description: 'The image, of a file', schema: schemas.image }, 202: { description: 'The operation, of an address', schema: schemas.operation }, 200: { description: 'Dry run', schema: schemas.dryRun } },
    errors: ['INVALID', 'NAME_TAKEN', 'IMAGE_UNREADABLE', 'IMAGE_CHECKSUM', 'BODY_TOO_LARGE', 'STORAGE_FULL', 'STORAGE_FAILED', 'SOURCE_REFUSED', 'OPERATION_ACTIVE', 'LIMIT_REACHED'],
    handle: (caller, request) => (request.isJson ? importUrl(caller, request) : importFile(caller, request)),
  },
  {
    method: 'GET', path: `${base}/{ref}`, operationId: 'getImage', tag: 'Images', summary: 'Show an image', credential: 'caller', right: 'read library', query: readParameters,
    answers: { 200: { description: 'The image', schema: schemas.image } }, errors: ['NOT_FOUND'],
    handle: (caller, { app, params }) => answerResource(200, app.images.get(caller, params['ref']!)),
  },
  {
    method: 'PATCH', path: `${base}/{ref}`, operationId: 'patchImage', tag: 'Images', summary: 'Change name, labels, os or the number of copies of an image', credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: true, types: ['application/merge-patch+json', 'application/json'], schema: schemas.imagePatch },
    answers: { 200: { description: 'The image', schema: schemas.image } }, errors: ['NOT_FOUND', 'INVALID', 'NAME_TAKEN', 'REVISION_STALE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, body, write }) => answerWritten(200, await app.images.patch(caller, params['ref']!, body, write)),
  },
  {
    method: 'DELETE', path: `${base}/{ref}`, operationId: 'deleteImage', tag: 'Images', summary: 'Delete an image from every node', credential: 'caller', right: 'operate project', query: writeParameters,
    answers: { 204: { description: 'Deleted' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'IN_USE', 'PRECONDITION_FAILED'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.images.delete(caller, params['ref']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]

async function importFile(caller: Caller, { app, query, stream, write }: RouteRequest): Promise<Answer> {
  const { dryRun: _, ...about } = query
  return answerWritten(201, await app.images.import(caller, about, stream, write), base)
}

async function importUrl(caller: Caller, { app, query, body, write }: RouteRequest): Promise<Answer> {
  const stray = Object.keys(query).filter((name) => name !== 'dryRun')
  if (stray.length > 0) throw new OperationalError('INVALID', 'Beside JSON, nothing is told in the query.', { data: { fields: stray.map((path) => ({ path, message: 'belongs into the body' })) } })
  return answerOperation(await app.images.importUrl(caller, body, write))
}

/** A resource with its place, or what would change. */
export function answerWritten(status: number, written: Written<{ readonly id: string; readonly revision: number }>, created?: string): Answer {
  if ('dryRun' in written) return { status: 200, body: written }
  return answerResource(status, written, created === undefined ? undefined : `${created}/${written.id}`)
}
