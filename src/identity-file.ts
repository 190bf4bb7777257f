// The file that holds this node's own keys: made at the first start, and anew after a removal.
import { join } from 'node:path'
import { createIdentity, parseIdentity, serializeIdentity, type NodeIdentity } from './drivers/crypto/identity.ts'
import { readOrNull, writePrivateFile } from './membership-file.ts'
import { uuidV7 } from './model/id.ts'
import type { Random } from './ports/clock.ts'

/** @throws SECRET_UNREADABLE where the file is damaged */
export async function openIdentity(dataDir: string, made: { readonly nowMs: number; readonly random: Random }): Promise<NodeIdentity> {
  const path = join(dataDir, 'identity.json')
  const text = await readOrNull(path)
  if (text !== null) return parseIdentity(text)
  const identity = createIdentity(uuidV7(made.nowMs, made.random.bytes(10)))
  await writePrivateFile(path, serializeIdentity(identity))
  return identity
}
