// A node's own keys: Ed25519, which is its peer identity, and X25519, for which the cluster key is wrapped.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { OperationalError } from '../../model/error.ts'
import { idSchema } from '../../model/id.ts'
import type { Random } from '../../ports/clock.ts'
import { systemRandom } from './random.ts'

/** All keys are 32 raw bytes. The private ones never leave the node. */
export type NodeIdentity = {
  readonly nodeId: string
  readonly ed25519Seed: Uint8Array
  readonly ed25519Public: Uint8Array
  readonly x25519Private: Uint8Array
  readonly x25519Public: Uint8Array
}

const keyBytes = 32
/** RFC 8410 §7: a PKCS #8 wrapper around 32 raw bytes. */
const pkcs8Prefix = { ed25519: '302e020100300506032b657004220420', x25519: '302e020100300506032b656e04220420' } as const

export function createIdentity(nodeId: string, random: Random = systemRandom): NodeIdentity {
  return identityOf(nodeId, random.bytes(keyBytes), random.bytes(keyBytes))
}

/** @param raw 32 bytes, from which Node's key object is made */
export function privateKeyOf(curve: 'ed25519' | 'x25519', raw: Uint8Array): KeyObject {
  if (raw.length !== keyBytes) throw new RangeError(`a raw ${curve} key has ${keyBytes} bytes, not ${raw.length}`)
  return createPrivateKey({ key: Buffer.concat([Buffer.from(pkcs8Prefix[curve], 'hex'), raw]), format: 'der', type: 'pkcs8' })
}

/** The Ed25519 key as PEM (PKCS #8). */
export function exportIdentityKey(identity: NodeIdentity): string {
  return privateKeyOf('ed25519', identity.ed25519Seed).export({ format: 'pem', type: 'pkcs8' }).toString()
}

const identityFileSchema = z.strictObject({ version: z.literal(1), nodeId: idSchema, ed25519Seed: z.string(), x25519Private: z.string() })

/** Text for a file that only root may read (0600). */
export function serializeIdentity(identity: NodeIdentity): string {
  const file: z.output<typeof identityFileSchema> = {
    version: 1, nodeId: identity.nodeId,
    ed25519Seed: Buffer.from(identity.ed25519Seed).toString('base64url'),
    x25519Private: Buffer.from(identity.x25519Private).toString('base64url'),
  }
  return `${JSON.stringify(file)}\n`
}

/** @throws SECRET_UNREADABLE where the text is no identity; the message holds no part of it */
export function parseIdentity(text: string): NodeIdentity {
  try {
    const file = identityFileSchema.parse(JSON.parse(text))
    return identityOf(file.nodeId, Buffer.from(file.ed25519Seed, 'base64url'), Buffer.from(file.x25519Private, 'base64url'))
  } catch {
    // No cause: a JSON parser's message quotes the text, which holds private keys.
    throw new OperationalError('SECRET_UNREADABLE', 'The file of the node identity is damaged; restore it, or join the cluster anew as another node.')
  }
}

function identityOf(nodeId: string, ed25519Seed: Uint8Array, x25519Private: Uint8Array): NodeIdentity {
  return {
    nodeId,
    ed25519Seed: new Uint8Array(ed25519Seed), ed25519Public: publicOf(privateKeyOf('ed25519', ed25519Seed)),
    x25519Private: new Uint8Array(x25519Private), x25519Public: publicOf(privateKeyOf('x25519', x25519Private)),
  }
}

function publicOf(key: KeyObject): Uint8Array {
  const { x } = createPublicKey(key).export({ format: 'jwk' })
  if (x === undefined) throw new TypeError('the public key has no x')
  return new Uint8Array(Buffer.from(x, 'base64url'))
}
