// The file that holds this node's own keys: made at the first start, and anew after a removal.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createIdentity, parseIdentity, serializeIdentity, type NodeIdentity } from './drivers/crypto/identity.ts'
import { readOrNull, writePrivateFile } from './membership-file.ts'
import { uuidV7 } from './model/id.ts'
import type { Random } from './ports/clock.ts'

/** What a member has of its cluster: useless, and dangerous, under another key. */
const bound = ['cluster.json', 'raft', 'state']

/** @throws SECRET_UNREADABLE where the file is damaged; an Error where it is gone, though the host was a member */
export async function openIdentity(dataDir: string, made: { readonly nowMs: number; readonly random: Random }): Promise<NodeIdentity> {
  const path = join(dataDir, 'identity.json')
  const text = await readOrNull(path)
  if (text !== null) return parseIdentity(text)
  await requireNothingBound(dataDir, path)
  const identity = createIdentity(uuidV7(made.nowMs, made.random.bytes(10)))
  await writePrivateFile(path, serializeIdentity(identity))
  return identity
}

/** A lost key must not become another node in silence: the cluster would wait for the former one, whose log would lie here under a stranger's name. */
async function requireNothingBound(dataDir: string, path: string): Promise<void> {
  const found: string[] = []
  for (const name of bound) if (await hasContent(join(dataDir, name))) found.push(name)
  if (found.length === 0) return
  throw new Error(`${path} is gone, and ${dataDir} holds ${found.join(', ')} of the member whose key it was. Nothing was started or changed. Put the file back from a copy of this host's disk, and start again: the node is what it was. Without a copy its key is lost: on another member have the node removed ("novacron node remove NAME --force", once this host's VMs are off), here move ${found.join(', ')} aside, start the daemon and join anew ("novacron cluster join").`)
}

async function hasContent(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  return found !== null && (!found.isDirectory() || (await readdir(path)).length > 0)
}
