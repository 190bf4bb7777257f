// Live migration from libvirtd to libvirtd through a relay's unix sockets: the long call, its progress, its abort, and what became of it.
import { renderDomainXml } from '../../formats/domain-xml.ts'
import { retargetDomainXml } from '../../formats/live-domain-xml.ts'
import { OperationalError } from '../../model/error.ts'
import type { Cancel, Clock } from '../../ports/clock.ts'
import type { MigrateRequest, MigrationProgress } from '../../ports/hypervisor.ts'
import type { Log } from '../../ports/log.ts'
import { domainRef, type DomainRef } from './calls.ts'
import { isCode, isLibvirtError, libvirtErrors } from './errors.ts'
import { openSession, type Endpoint } from './link.ts'
import { abortJob, getJobStats, getXmlDescription, jobNone, jobStatsCompleted, migrateFlags, migratePerform, migrationMsMax, operationMigrationOut, xmlFlags, type JobStats } from './migration-calls.ts'
import type { RpcConnection } from './rpc.ts'
import type { TypedParam } from './typed-params.ts'

const progressMs = 250
/** libvirt refuses an abort while there is no job yet: it is asked again. */
const abortMs = 100
/** With the relay cut libvirt has nothing left to wait for; longer than this it hangs. */
const abortedMsMax = 30_000
const recoverPollMs = 100
const recoverMsMax = 20_000
/** Not UNDEFINE_SOURCE: the definition tells, until the operation takes it away, that this host held the VM. */
const performFlags =
  migrateFlags.live | migrateFlags.peer2peer | migrateFlags.persistDest | migrateFlags.paused | migrateFlags.nonSharedInc | migrateFlags.abortOnError | migrateFlags.autoConverge

export type MigrationPorts = {
  /** The control connection of the moment. @throws OperationalError HYPERVISOR_UNREACHABLE */
  readonly control: () => RpcConnection
  readonly endpoint: Endpoint
  readonly clock: Clock
  readonly log: Log
  /** Calls back when libvirt says that the domain was suspended for the switch. */
  readonly onSwitch: (id: string, listener: () => void) => Cancel
}

/**
 * @throws OperationalError MIGRATION_FAILED where libvirt says that it came to nothing; HYPERVISOR_UNREACHABLE or HYPERVISOR_TIMEOUT where nothing is
 *   known: `recoverDomain` finds out
 */
export async function migrateDomain(request: MigrateRequest, ports: MigrationPorts, onProgress: (progress: MigrationProgress) => void, signal: AbortSignal): Promise<MigrationProgress> {
  signal.throwIfAborted()
  const domain = domainRef(request.id)
  const params = await performParams(request, ports.control(), domain)
  // A connection of its own: the call holds it for as long as the migration takes.
  const { connection } = await openSession({ ...ports.endpoint, callTimeoutMsMax: migrationMsMax }, { keepalive: true, onEvent: () => {} }, signal)
  const watch = watchProgress(request.id, ports, onProgress)
  const stopAborting = abortOn(signal, () => abortNow(ports, connection, domain))
  try {
    await connection.call(migratePerform, { domain, target: `qemu+unix:///system?socket=${request.sockets.control}`, params, flags: performFlags })
  } catch (error) {
    if (isCode(error, 'HYPERVISOR_REFUSED', 'DOMAIN_MISSING')) throw failed(request.id, error, signal)
    throw error
  } finally {
    stopAborting()
    watch.stop()
    connection.close('the migration is over')
  }
  return finalProgress(ports, domain, watch.last())
}

/** See the port's `recoverMigration`. @param readState state and reason, or null where there is no such domain */
export async function recoverDomain(
  id: string, ports: Pick<MigrationPorts, 'control' | 'clock'>, readState: () => Promise<{ readonly state: string; readonly reason: string } | null>,
): Promise<'here' | 'gone' | 'off'> {
  const deadlineMs = ports.clock.monotonicMs() + recoverMsMax
  for (;;) {
    const found = await readState()
    if (found === null) return 'off'
    if (found.state === 'off' || found.state === 'crashed') return found.reason === 'migrated' ? 'gone' : 'off'
    if (!(await isMigrating(ports.control(), domainRef(id)))) return 'here'
    await ports.control().call(abortJob, domainRef(id)).catch(refusalIsFine)
    if (ports.clock.monotonicMs() > deadlineMs) throw new OperationalError('HYPERVISOR_TIMEOUT', `libvirt has not let go of domain ${id} ${recoverMsMax} ms after its migration was aborted; it is tried again`)
    await new Promise<void>((resolve) => void ports.clock.after(recoverPollMs, resolve))
  }
}

async function performParams(request: MigrateRequest, control: RpcConnection, domain: DomainRef): Promise<readonly TypedParam[]> {
  const { sockets, target, bandwidthMiBps } = request
  const live = retarget(await control.call(getXmlDescription, { domain, flags: xmlFlags.secure | xmlFlags.migratable }), request)
  const string = (name: string, value: string): TypedParam => ({ name, value: { kind: 'string', value } })
  return [
    string('destination_xml', live.xml),
    string('persistent_xml', renderDomainXml(target, live.type)),
    ...(live.name === target.domainName ? [] : [string('destination_name', target.domainName)]),
    string('migrate_uri', `unix://${sockets.memory}`),
    string('disks_uri', `unix://${sockets.disks}`),
    ...live.copiedDisks.map((device) => string('migrate_disks', device)),
    ...(bandwidthMiBps === null ? [] : [{ name: 'bandwidth', value: { kind: 'ullong', value: BigInt(bandwidthMiBps) } } as const]),
  ]
}

function retarget(xml: string, request: MigrateRequest) {
  try {
    return retargetDomainXml(xml, request.target)
  } catch (cause) {
    throw new OperationalError('MIGRATION_FAILED', `Domain ${request.id} cannot be migrated: ${(cause as Error).message}. It runs on here.`, { cause })
  }
}

function watchProgress(id: string, ports: MigrationPorts, onProgress: (progress: MigrationProgress) => void) {
  let last: MigrationProgress = { phase: 'starting', totalBytes: 0, processedBytes: 0, remainingBytes: 0, elapsedMs: 0, downtimeMs: null }
  let asking = false
  let stopped = false
  const tell = (progress: MigrationProgress): void => {
    last = progress
    onProgress(progress)
  }
  const look = async (): Promise<void> => {
    if (asking) return
    asking = true
    try {
      const stats = await ports.control().call(getJobStats, { domain: domainRef(id), flags: 0 })
      if (!stopped && stats.type !== jobNone) tell(readProgress(stats, last))
    } catch (error) {
      ports.log.debug('progress of a migration cannot be read', { vmId: id, reason: (error as Error).message })
    } finally {
      asking = false
    }
  }
  const cancelTimer = ports.clock.every(progressMs, () => void look())
  const cancelSwitch = ports.onSwitch(id, () => tell({ ...last, phase: 'switching' }))
  return {
    last: () => last,
    stop: (): void => {
      stopped = true
      cancelTimer()
      cancelSwitch()
    },
  }
}

/** Phases only go forward. */
function readProgress({ values }: JobStats, before: MigrationProgress): MigrationProgress {
  const bytes = (name: string): number => Number(values.get(name) ?? 0)
  const phase = before.phase === 'switching' ? 'switching' : bytes('memory_total') > 0 ? 'memory' : bytes('disk_total') > 0 ? 'disks' : before.phase
  const [totalBytes, processedBytes, remainingBytes] = [bytes('data_total'), bytes('data_processed'), bytes('data_remaining')]
  return { phase, totalBytes, processedBytes, remainingBytes, elapsedMs: bytes('time_elapsed'), downtimeMs: values.has('downtime') ? bytes('downtime') : null }
}

/** libvirt keeps the figures of the last job that was completed. */
async function finalProgress(ports: MigrationPorts, domain: DomainRef, last: MigrationProgress): Promise<MigrationProgress> {
  try {
    const stats = await ports.control().call(getJobStats, { domain, flags: jobStatsCompleted })
    return { ...readProgress(stats, { ...last, phase: 'switching' }), phase: 'switching' }
  } catch (error) {
    ports.log.debug('figures of a completed migration cannot be read', { vmId: domain.id, reason: (error as Error).message })
    return { ...last, phase: 'switching', downtimeMs: null }
  }
}

/** @returns stops it */
function abortOn(signal: AbortSignal, begin: () => Cancel): Cancel {
  let stop = (): void => {}
  const aborted = (): void => {
    stop = begin()
  }
  if (signal.aborted) aborted()
  else signal.addEventListener('abort', aborted, { once: true })
  return () => {
    signal.removeEventListener('abort', aborted)
    stop()
  }
}

/** Asks again and again until stopped; a libvirt that does not let go is left, its outcome unknown. */
function abortNow(ports: MigrationPorts, connection: RpcConnection, domain: DomainRef): Cancel {
  let asking = false
  const ask = async (): Promise<void> => {
    if (asking) return
    asking = true
    try {
      await ports.control().call(abortJob, domain)
    } catch (error) {
      ports.log.debug('migration not aborted yet', { vmId: domain.id, reason: (error as Error).message })
    } finally {
      asking = false
    }
  }
  void ask()
  const cancels = [ports.clock.every(abortMs, () => void ask()), ports.clock.after(abortedMsMax, () => connection.close('libvirt did not let go of an aborted migration'))]
  return () => cancels.forEach((cancel) => cancel())
}

/** Other jobs, like a backup, are nobody's to abort here. */
async function isMigrating(control: RpcConnection, domain: DomainRef): Promise<boolean> {
  try {
    const { type, values } = await control.call(getJobStats, { domain, flags: 0 })
    return type !== jobNone && (values.get('operation') ?? operationMigrationOut) === operationMigrationOut
  } catch (error) {
    // It ended between the two looks: the next one sees what it is.
    if (isLibvirtError(error, libvirtErrors.operationInvalid) || isCode(error, 'DOMAIN_MISSING')) return true
    throw error
  }
}

/** There was no job any more, or it cannot be aborted just now. */
function refusalIsFine(error: unknown): void {
  if (!isCode(error, 'HYPERVISOR_REFUSED', 'DOMAIN_MISSING')) throw error
}

function failed(id: string, cause: OperationalError, signal: AbortSignal): OperationalError {
  const said = typeof cause.data['libvirtMessage'] === 'string' ? cause.data['libvirtMessage'] : cause.message
  const why = signal.aborted ? 'it was given up' : said
  return new OperationalError('MIGRATION_FAILED', `The migration of domain ${id} came to nothing: ${why}. The VM stays on this host.`, { cause, data: { libvirtMessage: said } })
}
