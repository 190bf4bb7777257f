// Frames of the request stream: many requests at once in both senses of time, told apart by a number, and pings between them.
import { z } from 'zod'
import { isErrorCode, OperationalError, type ErrorData } from '../model/error.ts'
import { BinaryReader, BinaryWriter } from './binary.ts'
import { Malformed } from './malformed.ts'

export const requestBodyBytesMax = 8 * 1024 * 1024
export const requestFrameBytesMax = requestBodyBytesMax + 64 * 1024
const methodBytesMax = 128
const errorMessageBytesMax = 4096
const errorDataBytesMax = 32 * 1024

export type RequestFrame =
  | { readonly kind: 'request'; readonly id: number; readonly method: string; readonly body: Uint8Array }
  | { readonly kind: 'answer'; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'error'; readonly id: number; readonly code: string; readonly message: string; readonly dataJson: string }
  | { readonly kind: 'ping' | 'pong'; readonly id: number }

/** Append only. */
const kinds = ['request', 'answer', 'error', 'ping', 'pong'] as const satisfies readonly RequestFrame['kind'][]

export function encodeRequestFrame(frame: RequestFrame): Uint8Array {
  const writer = new BinaryWriter('body' in frame ? frame.body.length + 256 : 256)
  writer.byte(kinds.indexOf(frame.kind))
  writer.varint(frame.id)
  switch (frame.kind) {
    case 'request':
      writer.text(frame.method)
      writer.raw(frame.body)
      break
    case 'answer':
      writer.raw(frame.body)
      break
    case 'error':
      writer.text(frame.code)
      writer.text(frame.message)
      writer.text(frame.dataJson)
      break
    case 'ping':
    case 'pong':
      break
    default:
      frame satisfies never
  }
  return writer.finish()
}

/** @throws Malformed */
export function decodeRequestFrame(bytes: Uint8Array): RequestFrame {
  const reader = new BinaryReader(bytes)
  const kind = kinds[reader.byte()]
  const id = reader.varint()
  switch (kind) {
    case 'request':
      return { kind, id, method: reader.text(methodBytesMax), body: reader.rest() }
    case 'answer':
      return { kind, id, body: reader.rest() }
    case 'error': {
      const frame = { kind, id, code: reader.text(64), message: reader.text(errorMessageBytesMax), dataJson: reader.text(errorDataBytesMax) }
      reader.end()
      return frame
    }
    case 'ping':
    case 'pong':
      reader.end()
      return { kind, id }
    case undefined:
      throw new Malformed('a request frame is of an unknown kind')
    default:
      return kind satisfies never
  }
}

/** An operating fault as a frame; its data travels too unless it is too long. */
export function errorFrame(id: number, error: OperationalError): RequestFrame {
  const dataJson = JSON.stringify(error.data)
  const message = error.message.length > 1000 ? `${error.message.slice(0, 1000)}…` : error.message
  return { kind: 'error', id, code: error.code, message, dataJson: Buffer.byteLength(dataJson) > errorDataBytesMax ? '{}' : dataJson }
}

const errorDataSchema = z.looseObject({
  fields: z.array(z.object({ path: z.string(), message: z.string() })).max(1000).optional(),
  retryAfterSeconds: z.number().optional(),
})

/** What the peer answered, as an error of ours. A code of a newer version that we do not know becomes OUTCOME_UNKNOWN. */
export function errorOfFrame(frame: { readonly code: string; readonly message: string; readonly dataJson: string }): OperationalError {
  const code = isErrorCode(frame.code) ? frame.code : 'OUTCOME_UNKNOWN'
  return new OperationalError(code, frame.message, { data: parseErrorData(frame.dataJson) })
}

function parseErrorData(json: string): ErrorData {
  try {
    const parsed = errorDataSchema.safeParse(JSON.parse(json))
    // exactOptionalPropertyTypes: zod says `undefined` may stand there, JSON cannot hold it.
    return parsed.success ? (parsed.data as ErrorData) : {}
  } catch {
    return {}
  }
}
