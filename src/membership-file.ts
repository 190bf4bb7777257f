// What a node keeps of the cluster it belongs to, outside the replicated state: enough to start again alone.
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'

const fileName = 'cluster.json'
const membershipSchema = z.strictObject({
  format: z.literal(1),
  clusterId: z.string(),
  clusterName: z.string(),
  caCertificate: z.string(),
  certificatePem: z.string(),
  tlsKeyPem: z.string(),
  /** Whom to dial until the state tells the members. */
  members: z.array(z.strictObject({ nodeId: z.string(), name: z.string(), peerId: z.string(), address: z.string() })),
})
export type MembershipRecord = z.output<typeof membershipSchema>

/** Null where this node is in no cluster. @throws where the file cannot be read or is not valid */
export async function readMembership(dataDir: string): Promise<MembershipRecord | null> {
  const path = join(dataDir, fileName)
  const text = await readOrNull(path)
  if (text === null) return null
  try {
    return membershipSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new Error(`${path} is damaged (${cause instanceof Error ? cause.message : String(cause)}): put a copy of it back. Without one, have the node removed from its cluster, move ${dataDir} aside and join anew.`, { cause })
  }
}

export async function writeMembership(dataDir: string, record: MembershipRecord): Promise<void> {
  await writePrivateFile(join(dataDir, fileName), JSON.stringify(record, null, 2))
}

/** Replaces a file of mode 0600 in one step, synced with its directory. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const draft = `${path}.new`
  await rm(draft, { force: true })
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  await syncDirectory(dirname(path))
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** @throws the system's error but for a file that is not there */
export async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
