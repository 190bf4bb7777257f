// Reads a backup to its end: every frame checked, opened by the passphrase, and the whole proven by the state's own hash.
import { caKeyPurpose } from './app/keys.ts'
import {
  backupEndSchema, BackupDecoder, backupRecordsSchema, backupSecretsSchema, damaged, newer, parseBackupHeader, parseFrame, sealPurpose, type BackupHeader, type Frame,
} from './model/backup.ts'
import { OperationalError } from './model/error.ts'
import { featureLevel } from './model/feature-level.ts'
import type { StateWrite } from './ports/state-store.ts'
import type { Vault } from './ports/vault.ts'
import { importState, tableNames, type State } from './state/state.ts'

export type ReadBackup = { readonly header: BackupHeader; readonly state: State; /** Null: it is not in the backup. */ readonly clusterKey: Uint8Array | null; readonly bytes: number; readonly checksum: string }

/** @throws BACKUP_DAMAGED, BACKUP_NEWER, PASSPHRASE_WRONG, INVALID where a passphrase is missing */
export async function readBackup(source: AsyncIterable<Uint8Array>, passphrase: string | null, vault: Vault): Promise<ReadBackup> {
  const decoder = new BackupDecoder((bytes) => vault.sha256Hex(bytes))
  const gathered: Gathered = { header: null, headerHash: '', key: null, sequence: 0, records: [], clusterKey: null, counted: null }
  for await (const piece of source) {
    for (const frame of decoder.push(piece)) await take(gathered, frame, { passphrase, vault })
  }
  const checksum = decoder.end()
  const { header, records, clusterKey, counted } = gathered
  if (header === null || counted !== records.length) throw damaged(`it has ${records.length} records where ${counted ?? 'none'} were counted`)
  return { header, state: stateOf(header, records), clusterKey, bytes: decoder.bytes, checksum }
}

type Gathered = { header: BackupHeader | null; /** Of its payload as it stands in the file. */ headerHash: string; key: Uint8Array | null; sequence: number; readonly records: StateWrite[]; clusterKey: Uint8Array | null; counted: number | null }

async function take(gathered: Gathered, frame: Frame, { passphrase, vault }: { readonly passphrase: string | null; readonly vault: Vault }): Promise<void> {
  const sequence = gathered.sequence++
  if (frame.kind === 'header') {
    gathered.header = parseBackupHeader(new TextDecoder().decode(frame.payload))
    gathered.headerHash = vault.sha256Hex(frame.payload)
    gathered.key = await keyOf(gathered.header, passphrase, vault)
    return
  }
  const text = new TextDecoder().decode(openFrame(gathered, { frame, sequence }, vault))
  switch (frame.kind) {
    case 'records':
      for (const [table, id, value] of parseFrame(backupRecordsSchema, text)) gathered.records.push({ table, id, value })
      return
    case 'secrets':
      gathered.clusterKey = Buffer.from(parseFrame(backupSecretsSchema, text).clusterKey, 'base64url')
      return
    case 'end':
      gathered.counted = parseFrame(backupEndSchema, text).records
  }
}

async function keyOf(header: BackupHeader, passphrase: string | null, vault: Vault): Promise<Uint8Array | null> {
  if (header.featureLevel > featureLevel) throw newer(`it holds what version ${header.version} knows, and this one does not`)
  if (header.passphrase === null) {
    // Who gives one believes the file sealed by it: it may have been put in another's place.
    if (passphrase !== null) throw new OperationalError('INVALID', 'A passphrase was given, but this backup is not encrypted: anybody may have written it. If it is the one that you mean, restore it without a passphrase. Nothing was changed.', { data: { fields: [{ path: 'passphrase', message: 'is not what this backup was made with' }] } })
    return null
  }
  if (passphrase === null) throw new OperationalError('INVALID', 'The backup is encrypted: give its passphrase. Nothing was changed.', { data: { fields: [{ path: 'passphrase', message: 'is missing' }] } })
  return vault.passphraseKey(passphrase, header.passphrase)
}

/** The frame's check has held, so what does not open was sealed under another passphrase, or the file was forged. */
function openFrame({ header, headerHash, key }: Gathered, { frame, sequence }: { readonly frame: Frame; readonly sequence: number }, vault: Vault): Uint8Array {
  if (header === null || key === null) return frame.payload
  try {
    return vault.open(key, new TextDecoder().decode(frame.payload), sealPurpose(headerHash, sequence))
  } catch (cause) {
    throw new OperationalError('PASSPHRASE_WRONG', 'The passphrase does not open this backup, or its header is not the one it was sealed with. Nothing was changed.', { cause })
  }
}

function stateOf(header: BackupHeader, records: readonly StateWrite[]): State {
  const unknown = records.find(({ table }) => !(tableNames as readonly string[]).includes(table))
  if (unknown !== undefined) throw newer(`it holds records of kind ${unknown.table}`)
  const { index, term, timeMs, hash } = header
  try {
    return importState({ head: { index, term, timeMs, hash }, records })
  } catch {
    throw damaged('its records do not have the hash that they were taken with')
  }
}

/** The authority's private key, where the cluster's key opens it. @throws BACKUP_DAMAGED */
export function authorityOf({ state, clusterKey }: ReadBackup, vault: Vault): { readonly certificatePem: string; readonly keyPem: string } | null {
  const cluster = state.tables.cluster.get('cluster')
  if (cluster === undefined) throw damaged('it holds no cluster')
  if (clusterKey === null) return null
  return { certificatePem: cluster.caCertificate, keyPem: new TextDecoder().decode(vault.open(clusterKey, cluster.caKeySealed, caKeyPurpose)) }
}
