// A node that was removed puts what it has of the cluster aside, takes new keys and is an appliance in no cluster again.
//
//   cluster.json, members.json, identity.json, superseded.json, raft/, state/  ──▶  removed-<time>/      (and storage/, where disks of VMs are left in it)
//
// `removed.json` is written first and says `done` at the end: what a crash cut short is finished at the next start.
import { mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { supersededFileName } from './superseded-file.ts'
import { membersFileName } from './members-file.ts'
import { readOrNull, writePrivateFile, type MembershipRecord } from './membership-file.ts'

const fileName = 'removed.json'
const departureSchema = z.strictObject({
  format: z.literal(1),
  clusterName: z.string(),
  /** What the node was called there. */
  nodeName: z.string(),
  atMs: z.number(),
  /** Folder under the data directory. */
  folder: z.string(),
  done: z.boolean(),
})
export type Departure = z.output<typeof departureSchema>

/** Of the last cluster that this node was removed from; null where it never was. */
export async function readDeparture(dataDir: string): Promise<Departure | null> {
  const text = await readOrNull(join(dataDir, fileName))
  return text === null ? null : departureSchema.parse(JSON.parse(text))
}

/** Everything must be closed. Afterwards the node has no identity and no membership. */
export async function putAside(dataDir: string, options: { readonly clusterName: string; readonly nodeName: string; readonly nowMs: number }): Promise<Departure> {
  const { clusterName, nodeName, nowMs } = options
  const departure: Departure = { format: 1, clusterName, nodeName, atMs: nowMs, folder: `removed-${new Date(nowMs).toISOString().replaceAll(/[:.]/g, '')}`, done: false }
  await write(dataDir, departure)
  return finishDeparture(dataDir, departure)
}

/** Finishes what was begun; to be called before the identity is read. */
export async function finishDeparture(dataDir: string, departure: Departure): Promise<Departure> {
  if (departure.done) return departure
  const folder = join(dataDir, departure.folder)
  await mkdir(folder, { recursive: true, mode: 0o711 })
  const names = ['cluster.json', membersFileName, 'raft', 'state', 'identity.json', supersededFileName, ...((await hasVolumes(dataDir)) ? ['storage'] : [])]
  for (const name of names) await moveIfThere(join(dataDir, name), join(folder, name))
  const done = { ...departure, done: true }
  await write(dataDir, done)
  return done
}

const nextFileName = 'cluster.next.json'

/** The membership that takes the place of the present one as soon as that is closed. */
export async function writeNextMembership(dataDir: string, record: MembershipRecord): Promise<void> {
  await writePrivateFile(join(dataDir, nextFileName), JSON.stringify(record, null, 2))
}

/**
 * Puts the former cluster's log and state aside and takes the next membership; false where there is none. The identity and the storage stay.
 * @param forget makes the node forget what it remembers of the former log
 */
export async function changeOver(dataDir: string, options: { readonly nowMs: number; readonly forget: () => Promise<void> }): Promise<boolean> {
  if ((await readOrNull(join(dataDir, nextFileName))) === null) return false
  const folder = join(dataDir, `former-${new Date(options.nowMs).toISOString().replaceAll(/[:.]/g, '')}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  for (const name of ['raft', 'state']) await moveIfThere(join(dataDir, name), join(folder, name))
  await options.forget()
  await rename(join(dataDir, nextFileName), join(dataDir, 'cluster.json'))
  return true
}

async function hasVolumes(dataDir: string): Promise<boolean> {
  return (await readdir(join(dataDir, 'storage', 'volumes')).catch(() => [])).length > 0
}

async function moveIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

async function write(dataDir: string, departure: Departure): Promise<void> {
  await writePrivateFile(join(dataDir, fileName), JSON.stringify(departure))
}
