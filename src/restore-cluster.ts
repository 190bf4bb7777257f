// A new cluster on this host from a backup: another identity, new keys, the records as they were (ADR 0016).
import { caKeyPurpose, sessionKeyPurpose } from './app/keys.ts'
import { parseInput } from './app/parse.ts'
import { orThrow } from './app/write.ts'
import type { RestoreAnswer } from './app/face.ts'
import { authorityOf, readBackup } from './backup-reader.ts'
import { installSole, readToEnd } from './cluster/refounding.ts'
import { createTlsKey } from './drivers/crypto/certificate.ts'
import { openStores, type Host } from './member.ts'
import type { MembershipRecord } from './membership-file.ts'
import type { BackupHeader } from './model/backup.ts'
import { OperationalError } from './model/error.ts'
import { uuidV7, nameSchema, type NodeId } from './model/id.ts'
import { peerIdOfPrivateKey } from './p2p/peer-id.ts'
import { restoreCluster } from './state/refounding.ts'
import type { State } from './state/state.ts'
import { z } from 'zod'

const keyBytes = 32
/** A cluster's time never goes back: one that is far ahead would stand still until then. */
const aheadMsMax = 24 * 3_600_000
const restoreSchema = z.strictObject({ passphrase: z.string().max(1024).nullable().default(null), name: nameSchema.optional(), dryRun: z.boolean().default(false) })
/** What a certificate of this host is to say. */
export type Names = { readonly commonName: string; readonly names: string[]; readonly addresses: string[]; readonly nodeId: string }
export type Restoration = { readonly answer: RestoreAnswer; readonly state: State; readonly record: MembershipRecord }

/** Reads the backup and makes of it what the new cluster begins with; nothing is written. @throws see `Control.restore` */
export async function planRestore(host: Host, names: Names, options: unknown, bytes: AsyncIterable<Uint8Array>): Promise<Restoration> {
  const { passphrase, name, dryRun } = parseInput(restoreSchema, options)
  const { vault, random, clock, config, identity } = host
  const backup = await readBackup(bytes, passphrase, vault)
  const { header, state } = backup
  const records = countRecords(state)
  const kept = authorityOf(backup, vault)
  const clusterName = name ?? header.clusterName
  const nowMs = clock.nowMs()
  if (header.timeMs > nowMs + aheadMsMax) throw new OperationalError('STATE_CONFLICT', `The backup is of ${new Date(header.timeMs).toISOString()}, by this host's clock it is ${new Date(nowMs).toISOString()}: set the clock right first, or use another backup. Nothing was changed.`)
  const authority = kept ?? (await vault.createAuthority({ clusterName, nowMs }))
  const tlsKey = await createTlsKey()
  const certificatePem = await vault.issueCertificate({ caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, publicKeyPem: tlsKey.publicKeyPem, ...names, nowMs })
  // Never the former key: whoever kept that shall not open what this cluster will hold.
  const clusterKey = random.bytes(keyBytes)
  const clusterId = uuidV7(nowMs, random.bytes(10))
  const wrapKey = Buffer.from(identity.x25519Public).toString('base64url')
  const lost = orThrow(() => restoreCluster(state, {
    clusterId, clusterName, caCertificate: authority.certificatePem,
    caKeySealed: vault.seal(clusterKey, new TextEncoder().encode(authority.keyPem), caKeyPurpose),
    sessionKeySealed: vault.seal(clusterKey, random.bytes(keyBytes), sessionKeyPurpose),
    node: { id: identity.nodeId as NodeId, name: config.name, peerId: peerIdOfPrivateKey(identity.ed25519Seed), wrapKey, wrappedClusterKey: vault.wrapKey(wrapKey, clusterKey) },
  }, {
    term: state.term + 1, timeMs: nowMs, commandId: uuidV7(nowMs, random.bytes(10)),
    actor: { kind: 'system', id: identity.nodeId, name: `root of ${config.name}`, address: '' },
  }))
  const { createdAt, node, version, index, term } = header
  const answer: RestoreAnswer = {
    dryRun, records, clusterName, clusterId, caCertificate: authority.certificatePem, keptAuthority: kept !== null,
    backup: { clusterName: header.clusterName, clusterId: header.clusterId, createdAt, node, version, index, term, local: header.local !== undefined, bytes: backup.bytes, checksum: backup.checksum, sealed: header.passphrase !== null },
    droppedNodes: lost.droppedNodes, lostVms: lost.lostVms, lostImages: lost.lostImages, notes: [...localNotesOf(header), ...notesOf(kept !== null, lost)],
  }
  return { answer, state, record: { format: 1, clusterId, clusterName, caCertificate: authority.certificatePem, certificatePem, tlsKeyPem: tlsKey.keyPem, members: [] } }
}

/** Writes what was planned into stores that hold nothing. */
export async function writeRestored(host: Host, state: State): Promise<void> {
  const stores = await openStores(host)
  try {
    const { state: found } = await readToEnd(host.identity.nodeId, stores)
    if (found.index !== 0) throw new Error(`assertion: a host in no cluster has a state at ${found.index}`)
    await installSole(host.identity.nodeId, state, stores)
  } finally {
    await stores.logStore.close()
    await stores.stateStore.close()
  }
}

function countRecords(state: State): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(state.tables).map(([table, records]) => [table, records.size]))
}

/** Of a backup of one node alone: what it may lack. */
function localNotesOf({ local, node, index, term, timeMs }: BackupHeader): readonly string[] {
  if (local === undefined) return []
  return [`The backup is what ${node} alone had applied, up to index ${index} of term ${term} (${new Date(timeMs).toISOString()})${local.quorum ? '' : ', without a quorum'}: it may be behind. What the cluster acknowledged after that is not in it${local.commit > index ? `, nor is what ${node} knew to be committed up to ${local.commit}` : ''}.`]
}

function notesOf(keptAuthority: boolean, { lostVms, lostImages }: { readonly lostVms: readonly string[]; readonly lostImages: readonly string[] }): readonly string[] {
  return [
    'It is a new cluster: should the former one live, neither knows of the other, and no host belongs to both.',
    ...(lostVms.length === 0 ? [] : ['VMs have no owner, and nothing starts them: make sure that their former host is off, then begin each anew by "novacron vm recover NAME --host-is-off". What their disks held is not in a backup.']),
    ...(lostImages.length === 0 ? [] : ['No host has the files of the images: import each again under its name, from the same file.']),
    'Passwords, roles and API tokens are as they were: what was changed or revoked after the backup is not. Everybody has to sign in again; join tokens are void.',
    ...(keptAuthority ? [] : ["The backup holds no key. Lost are the cluster's authority, so that browsers and NOVACRON_CA have to trust a new one, and whatever was encrypted by its key."]),
  ]
}
