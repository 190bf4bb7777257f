// Routes of uploads: a file in parts, each where the last one ended, and the end that makes an image of it.
import { z } from 'zod'
import { imageBytesMax } from '../../model/upload.ts'
import { readParameters, writeParameters, type QueryParameters } from '../query.ts'
import { answerResource, type CallerRoute } from '../route.ts'
import { answerWritten } from './images.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/uploads'
const partParameters = {
  offset: { from: 'integer', schema: z.number().int().min(0).max(imageBytesMax).describe('Where in the file the part begins: the upload\'s status.offset'), required: true },
} as const satisfies QueryParameters

export const uploadRoutes: readonly CallerRoute[] = [
  {
    method: 'GET', path: base, operationId: 'listUploads', tag: 'Images', summary: 'List the uploads that this node keeps: one\'s own, or all for administrators', credential: 'caller', right: 'operate project', query: readParameters,
    answers: { 200: { description: 'The uploads', schema: schemas.uploadList } }, errors: [],
    handle: async (caller, { app }) => ({ status: 200, body: await app.uploads.list(caller) }),
  },
  {
    method: 'POST', path: base, operationId: 'createUpload', tag: 'Images', summary: 'Begin an upload: its parts go to this node, and it is forgotten a day after the last one', credential: 'caller', right: 'operate project', query: writeParameters,
    body: { required: true, types: ['application/json'], schema: schemas.uploadCreate },
    answers: { 201: { description: 'The upload', schema: schemas.upload }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'NAME_TAKEN', 'LIMIT_REACHED', 'STORAGE_FULL'],
    handle: async (caller, { app, body, write }) => answerWritten(201, await app.uploads.create(caller, body, write), base),
  },
  {
    method: 'GET', path: `${base}/{id}`, operationId: 'getUpload', tag: 'Images', summary: 'Show an upload: status.offset, also header Upload-Offset (so HEAD suffices), is where the next part begins', credential: 'caller', right: 'operate project', query: readParameters,
    answers: { 200: { description: 'The upload', schema: schemas.upload } }, errors: ['NOT_FOUND'],
    handle: async (caller, { app, params }) => {
      const upload = await app.uploads.get(caller, params['id']!)
      const answer = answerResource(200, upload)
      return { ...answer, headers: { ...answer.headers, 'Upload-Offset': String(upload.status.offset) } }
    },
  },
  {
    method: 'PUT', path: `${base}/{id}/data`, operationId: 'appendUpload', tag: 'Images', summary: 'Send the next part; what arrives before a break counts', credential: 'caller', right: 'operate project', query: partParameters,
    body: { required: true, types: ['application/octet-stream'], schema: 'binary' },
    answers: { 200: { description: 'The upload', schema: schemas.upload } }, errors: ['NOT_FOUND', 'INVALID', 'STATE_CONFLICT', 'BODY_TOO_LARGE', 'STORAGE_FULL', 'STORAGE_FAILED'],
    handle: async (caller, { app, params, query, headers, stream, signal }) => {
      const length = headers.get('Content-Length')
      return answerResource(200, await app.uploads.append(caller, params['id']!, stream(), { offset: Number(query['offset']), announcedBytes: length === null ? null : Number(length), signal }))
    },
  },
  {
    method: 'POST', path: `${base}/{id}/finish`, operationId: 'finishUpload', tag: 'Images', summary: 'Check the whole file and make an image of it; asked again it answers the same', credential: 'caller', right: 'operate project', query: writeParameters,
    answers: { 201: { description: 'The image', schema: schemas.image }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND', 'STATE_CONFLICT', 'NAME_TAKEN', 'IMAGE_UNREADABLE', 'IMAGE_CHECKSUM', 'STORAGE_FAILED'],
    handle: async (caller, { app, params, write }) => answerWritten(201, await app.uploads.finish(caller, params['id']!, write), '/api/v1/images'),
  },
  {
    method: 'DELETE', path: `${base}/{id}`, operationId: 'deleteUpload', tag: 'Images', summary: 'End an upload; what has come is removed', credential: 'caller', right: 'operate project', query: writeParameters,
    answers: { 204: { description: 'Ended' }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['NOT_FOUND'],
    handle: async (caller, { app, params, write }) => {
      const written = await app.uploads.delete(caller, params['id']!, write)
      return written === null ? { status: 204 } : { status: 200, body: written }
    },
  },
]
