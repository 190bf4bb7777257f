// Reads domains through libvirt: whether they are ours, and their state in our words.
import { metadataNamespace, parseDomainMetadata, type DomainMetadata } from '../../formats/domain-xml.ts'
import type { Domain, DomainState, OffReason } from '../../ports/hypervisor.ts'
import { flags, getMetadata, getState, listAllDomains, lookupByUuid, type DomainRef } from './calls.ts'
import { isCode, isLibvirtError, libvirtErrors } from './errors.ts'
import type { RpcConnection } from './rpc.ts'

/** Reads in flight at once; each is two calls. */
const readsMax = 32

export type Found =
  | { readonly kind: 'absent' }
  /** It exists, but we did not make it. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'own'; readonly domain: Domain }

/** Our domains, sorted by id. */
export async function listOwnDomains(connection: RpcConnection): Promise<readonly Domain[]> {
  const references = await connection.call(listAllDomains, undefined)
  const domains: Domain[] = []
  for (let at = 0; at < references.length; at += readsMax) {
    const batch = await Promise.all(references.slice(at, at + readsMax).map((reference) => readDomainState(connection, reference)))
    for (const found of batch) if (found.kind === 'own') domains.push(found.domain)
  }
  return domains.toSorted((left, right) => (left.id < right.id ? -1 : 1))
}

export async function findDomain(connection: RpcConnection, id: string): Promise<Found> {
  try {
    return await readDomainState(connection, await connection.call(lookupByUuid, id))
  } catch (error) {
    if (isCode(error, 'DOMAIN_MISSING')) return { kind: 'absent' }
    throw error
  }
}

async function readDomainState(connection: RpcConnection, reference: DomainRef): Promise<Found> {
  try {
    const [metadata, words] = await Promise.all([readMetadata(connection, reference), connection.call(getState, { domain: reference, flags: 0 })])
    if (metadata === null) return { kind: 'foreign' }
    const state = domainState(words.state, reference.runId)
    return {
      kind: 'own',
      domain: {
        id: reference.id, domainName: reference.name, state,
        reason: state === 'off' || state === 'crashed' ? (state === 'crashed' ? 'crashed' : (offReasons[words.reason] ?? 'unknown')) : 'none',
        epoch: metadata.epoch, definition: metadata.definition,
      },
    }
  } catch (error) {
    // It went away between the list and the look.
    if (isCode(error, 'DOMAIN_MISSING')) return { kind: 'absent' }
    throw error
  }
}

/** What it will be at its next boot. A domain that is only running, not defined (somebody undefined it), has no definition: it has to be defined again. */
async function readMetadata(connection: RpcConnection, domain: DomainRef): Promise<DomainMetadata | null> {
  const read = async (bits: number) => parseDomainMetadata(await connection.call(getMetadata, { domain, uri: metadataNamespace, flags: bits }))
  try {
    return await read(flags.affectConfig).catch(async (error: unknown) => {
      if (!isLibvirtError(error, libvirtErrors.operationInvalid, libvirtErrors.invalidArgument)) throw error
      const live = await read(flags.affectLive)
      return live === null ? null : { ...live, definition: '' }
    })
  } catch (error) {
    if (isLibvirtError(error, libvirtErrors.noDomainMetadata)) return null
    throw error
  }
}

/** virDomainState. */
function domainState(state: number, runId: number): DomainState {
  switch (state) {
    case 1: // running
    case 2: // blocked on a resource
      return 'running'
    case 3: // paused
    case 7: // suspended by its guest
      return 'paused'
    case 4:
      return 'shuttingDown'
    case 5:
      return 'off'
    case 6:
      return 'crashed'
    default:
      return runId === -1 ? 'off' : 'running'
  }
}

/** virDomainShutoffReason. */
const offReasons: readonly OffReason[] = ['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'unknown', 'failed']
