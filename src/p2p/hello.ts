// The application hello at the head of every stream: who I am, which version, and a plain answer, so that a refusal is known to the dialler.
import { z } from 'zod'
import { isErrorCode, OperationalError } from '../model/error.ts'
import type { FrameStream } from './framing.ts'
import type { Host } from './host.ts'
import { Malformed } from './malformed.ts'

export const protocolVersion = 1
const helloBytesMax = 2048

const helloSchema = z.object({ version: z.number().int(), nodeId: z.string().max(255), instance: z.string().max(64), address: z.string().max(255).optional() })
const answerSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), nodeId: z.string().max(255), instance: z.string().max(64) }),
  z.object({ ok: z.literal(false), code: z.string().max(64), message: z.string().max(1024), epoch: z.number().int().optional() }),
])

/** Thrown by the acceptor's half after it has told the dialler. */
export class HelloRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'HelloRefused'
  }
}

/**
 * The dialler's half.
 * @returns the instance of the process on the other side
 * @throws OperationalError as the peer refused; Malformed; StreamClosed, which is also how a gater refuses
 */
export async function sayHello(stream: FrameStream, self: Host, peerNodeId: string, signal: AbortSignal): Promise<string> {
  const cut = () => stream.abort(signal.reason instanceof Error ? signal.reason : new Error('given up'))
  signal.addEventListener('abort', cut, { once: true })
  try {
    stream.sendFrame(encodeJson({ version: protocolVersion, nodeId: self.nodeId, instance: self.instance, ...(self.advertised === null ? {} : { address: self.advertised }) }))
    const answer = decodeJson(await stream.frame(helloBytesMax), answerSchema)
    if (!answer.ok) throw new OperationalError(isErrorCode(answer.code) ? answer.code : 'FORBIDDEN', answer.message, answer.epoch === undefined ? {} : { data: { epoch: answer.epoch } })
    if (answer.nodeId !== peerNodeId) throw new OperationalError('FORBIDDEN', `The node there is ${answer.nodeId}, not ${peerNodeId}.`)
    return answer.instance
  } finally {
    signal.removeEventListener('abort', cut)
  }
}

/**
 * The acceptor's half: `peerNodeId` is what the authenticated key says.
 * @throws HelloRefused after the refusal was sent; Malformed; StreamClosed
 * @returns the instance of the process on the other side, and where it can be dialled, as it says
 */
export async function answerHello(stream: FrameStream, self: Host, peerNodeId: string, ready: boolean): Promise<{ readonly instance: string; readonly address: string | null }> {
  const hello = decodeJson(await stream.frame(helloBytesMax), helloSchema)
  const refusal = !ready
    ? { code: 'STOPPING', message: 'This node is not ready for its peers.' }
    : hello.version !== protocolVersion
      ? { code: 'FORBIDDEN', message: `Protocol version ${hello.version} is not spoken here, only ${protocolVersion}.` }
      : hello.nodeId !== peerNodeId
        ? { code: 'FORBIDDEN', message: 'The key belongs to another node.' }
        : null
  if (refusal !== null) {
    stream.sendFrame(encodeJson({ ok: false, ...refusal }))
    throw new HelloRefused(refusal.message)
  }
  stream.sendFrame(encodeJson({ ok: true, nodeId: self.nodeId, instance: self.instance }))
  return { instance: hello.instance, address: hello.address ?? null }
}

/** Tells a former member that the cluster goes on without it. @throws Malformed; StreamClosed */
export async function refuseHello(stream: FrameStream, epoch: number): Promise<void> {
  decodeJson(await stream.frame(helloBytesMax), helloSchema)
  stream.sendFrame(encodeJson({ ok: false, code: 'CLUSTER_SUPERSEDED', message: `The cluster was founded anew at epoch ${epoch}, without this node. It has to join anew.`, epoch }))
}

export function encodeJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

/** @throws Malformed when the frame is missing, no JSON, or of another shape */
export function decodeJson<T>(frame: Uint8Array | null, schema: z.ZodType<T>): T {
  if (frame === null) throw new Malformed('the stream ended before it said anything')
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength).toString('utf8'))
  } catch {
    throw new Malformed('a header is not JSON')
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new Malformed('a header has another shape')
  return parsed.data
}
