// The Hypervisor port on libvirt: ownership, epochs, and each verb as libvirt calls.
import { parseEmulatorOwner } from '../../formats/capabilities-xml.ts'
import { renderDomainXml, type DomainType } from '../../formats/domain-xml.ts'
import { OperationalError } from '../../model/error.ts'
import type { Cancel, Clock } from '../../ports/clock.ts'
import type { Domain, DomainEvent, DomainSpec, DomainStats, Hypervisor, HypervisorInfo, MigrateRequest, MigrationProgress } from '../../ports/hypervisor.ts'
import type { Log } from '../../ports/log.ts'
import type { LocalStore } from '../../ports/state-store.ts'
import type { ByteStream } from '../../ports/transport.ts'
import { EpochGuard, staleEpoch } from '../epoch-guard.ts'
import { Gate } from '../gate.ts'
import { probeAccelerator, type Accelerator } from './accelerator.ts'
import { usableAddresses } from './addresses.ts'
import * as calls from './calls.ts'
import { openDomainConsole } from './console.ts'
import { findDomain, listOwnDomains } from './domain-reader.ts'
import { isCode, isLibvirtError, libvirtErrors } from './errors.ts'
import { readEvent } from './events.ts'
import { LibvirtLink, type Endpoint, type Session } from './link.ts'
import { migrateDomain, recoverDomain } from './migrate.ts'
import type { RpcConnection } from './rpc.ts'
import { openDomainScreen } from './screen.ts'
import { readStats } from './stats.ts'

const defaultSocketPaths = ['/run/libvirt/libvirt-sock', '/run/libvirt/virtqemud-sock']
const agentAnswerSecondsMax = 3
const { flags } = calls

export type LibvirtOptions = {
  /** Default qemu:///system; `?socket=PATH` is understood. */
  readonly uri?: string
  readonly socketPath?: string
  readonly accelerator: 'kvm' | 'tcg' | 'auto'
  readonly keepaliveMs?: number
  readonly callTimeoutMsMax?: number
  /** Where this process finds a path that libvirt names, if libvirtd sees another file system. */
  readonly localPath?: (path: string) => string
}

export class LibvirtHypervisor implements Hypervisor {
  readonly #options: LibvirtOptions
  readonly #log: Log
  readonly #clock: Clock
  readonly #endpoint: Endpoint
  readonly #control: LibvirtLink
  /** Calls that wait for a guest's agent have a connection of their own: a dead guest must not delay the living. */
  readonly #agents: LibvirtLink
  readonly #agentGate = new Gate({ purpose: 'calls to guest agents', width: 4, waitingMax: 256 })
  readonly #epochs: EpochGuard
  readonly #listeners = new Set<(event: DomainEvent) => void>()
  /** Ids known to be ours; an event of another id is looked up before it is passed on. */
  readonly #own = new Set<string>()
  /** Domains whose QEMU was told to end by the host: libvirt calls that a shutdown too. */
  readonly #endedByHost = new Set<string>()
  #accelerator: Promise<Accelerator> | null = null
  /** Asked once a connection, and only where it matters. */
  #kvmOffered: boolean | null = null

  constructor(options: LibvirtOptions, dependencies: { readonly epochs: LocalStore; readonly clock: Clock; readonly log: Log }) {
    this.#options = options
    this.#log = dependencies.log
    this.#clock = dependencies.clock
    this.#epochs = new EpochGuard(dependencies.epochs)
    this.#endpoint = {
      ...parseUri(options), clock: dependencies.clock, keepaliveMs: options.keepaliveMs ?? 5_000,
      callTimeoutMsMax: options.callTimeoutMsMax ?? Number.MAX_SAFE_INTEGER,
    }
    const silent = { onEvent: () => {}, onConnected: () => {}, onDisconnected: () => {} }
    this.#agents = new LibvirtLink({ ...this.#endpoint, ...silent, purpose: 'agents', log: dependencies.log, events: false })
    this.#control = new LibvirtLink({
      ...this.#endpoint, purpose: 'control', log: dependencies.log, events: true,
      onEvent: (procedure, body) => this.#libvirtEvent(procedure, body),
      onConnected: () => {
        this.#kvmOffered = null
        this.#emit({ kind: 'connected' })
      },
      onDisconnected: (detail) => this.#emit({ kind: 'disconnected', detail }),
    })
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#accelerator = this.#options.accelerator === 'auto' ? probeAccelerator() : Promise.resolve(this.#options.accelerator)
    await Promise.all([this.#control.start(signal), this.#agents.start(signal)])
  }

  async stop(): Promise<void> {
    await Promise.all([this.#control.stop(), this.#agents.stop()])
  }

  async info(): Promise<HypervisorInfo> {
    const { connection, driver } = this.#control.session()
    const [node, version, libraryVersion, type] = await Promise.all([
      connection.call(calls.nodeGetInfo, undefined), connection.call(calls.connectGetVersion, undefined),
      connection.call(calls.connectGetLibVersion, undefined), this.#domainType(this.#control.session()),
    ])
    return {
      accelerator: type === 'test' ? 'simulated' : type === 'kvm' ? 'kvm' : 'tcg',
      description: `${driver} ${versionText(version)}, libvirt ${versionText(libraryVersion)}`,
      cpus: node.cpus,
      memoryMiB: Math.floor(node.memoryKib / 1024),
    }
  }

  async list(): Promise<readonly Domain[]> {
    const domains = (await listOwnDomains(this.#connection())).map((domain) => this.#withHostEnd(domain))
    for (const domain of domains) this.#own.add(domain.id)
    return domains
  }

  async find(id: string): Promise<Domain | null> {
    const found = await findDomain(this.#connection(), id)
    if (found.kind !== 'own') return null
    this.#own.add(id)
    return this.#withHostEnd(found.domain)
  }

  async define(spec: DomainSpec): Promise<void> {
    await this.#epochs.admit(spec.id, spec.epoch, async () => {
      const session = this.#control.session()
      const xml = renderDomainXml(spec, await this.#domainType(session))
      await this.#refuseOverwriting(session.connection, spec)
      await session.connection.call(calls.defineXmlFlags, { xml, flags: 0 })
      this.#own.add(spec.id)
    })
  }

  async boot(id: string, epoch: number): Promise<void> {
    await this.#epochs.admit(id, epoch, async () => {
      const domain = await this.#require(id)
      if (domain.epoch > epoch) throw staleEpoch(id, epoch, domain.epoch)
      const reference = calls.domainRef(id)
      switch (domain.state) {
        case 'running':
        case 'shuttingDown':
          return
        case 'paused':
          return this.#unlessIn(id, ['running'], () => this.#connection().call(calls.resumeDomain, reference))
        case 'crashed':
          await this.destroy(id)
          break
        case 'off':
          break
      }
      await this.#unlessIn(id, ['running'], () => this.#connection().call(calls.createWithFlags, { domain: reference, flags: 0 }))
    })
  }

  async shutdown(id: string): Promise<void> {
    const domain = await this.#require(id)
    if (isOff(domain) || domain.state === 'shuttingDown') return
    const { connection, driver } = this.#control.session()
    const real = driver === 'QEMU'
    if (real) this.#shutdownByAgent(id)
    // Its guest may end between the look and the call, and libvirt takes a while to see QEMU go.
    await this.#unlessIn(id, ['off', 'shuttingDown'], () => connection.call(calls.shutdownFlags, { domain: calls.domainRef(id), flags: real ? flags.shutdownAcpi : 0 }))
  }

  async destroy(id: string): Promise<void> {
    const domain = await this.#require(id)
    if (domain.state === 'off') return
    await this.#unlessIn(id, ['off'], () => this.#connection().call(calls.destroyFlags, { domain: calls.domainRef(id), flags: 0 }))
  }

  async reset(id: string): Promise<void> {
    await this.#requireOn(id, 'reset')
    await this.#connection().call(calls.resetFlags, { domain: calls.domainRef(id), flags: 0 })
  }

  async pause(id: string): Promise<void> {
    const domain = await this.#requireOn(id, 'paused')
    if (domain.state === 'paused') return
    await this.#unlessIn(id, ['paused'], () => this.#connection().call(calls.suspendDomain, calls.domainRef(id)))
  }

  async resume(id: string): Promise<void> {
    const domain = await this.#requireOn(id, 'resumed')
    if (domain.state === 'running') return
    await this.#unlessIn(id, ['running'], () => this.#connection().call(calls.resumeDomain, calls.domainRef(id)))
  }

  async undefine(id: string): Promise<void> {
    const session = this.#control.session()
    const found = await findDomain(session.connection, id)
    if (found.kind !== 'own') return
    if (!isOff(found.domain)) throw new OperationalError('STATE_CONFLICT', `Domain ${found.domain.domainName} is ${found.domain.state}; only one that is off can be forgotten.`)
    const kinds = flags.undefineManagedSave | flags.undefineSnapshotsMetadata
    // libvirt's test driver knows neither NVRAM nor checkpoints.
    const bits = session.driver === 'QEMU' ? kinds | flags.undefineNvram | flags.undefineCheckpointsMetadata : kinds
    try {
      await session.connection.call(calls.undefineFlags, { domain: calls.domainRef(id), flags: bits })
    } catch (error) {
      if (!isCode(error, 'DOMAIN_MISSING')) throw error
    }
    this.#endedByHost.delete(id)
  }

  stats(): Promise<readonly DomainStats[]> {
    return readStats(this.#connection(), (id) => this.#own.has(id))
  }

  async addresses(id: string): Promise<readonly string[]> {
    const domain = await this.#require(id)
    if (domain.state !== 'running') throw new OperationalError('AGENT_UNAVAILABLE', `Domain ${domain.domainName} is ${domain.state}.`)
    return this.#agentGate.pass(async () => {
      const { connection } = this.#agents.session()
      const reference = calls.domainRef(id)
      try {
        await connection.call(calls.agentSetResponseTimeout, { domain: reference, seconds: agentAnswerSecondsMax })
        return usableAddresses(await connection.call(calls.interfaceAddresses, { domain: reference, source: flags.addressesFromAgent }))
      } catch (error) {
        if (isCode(error, 'HYPERVISOR_REFUSED', 'HYPERVISOR_TIMEOUT')) {
          throw new OperationalError('AGENT_UNAVAILABLE', `The guest agent of ${domain.domainName} does not answer.`, { cause: error })
        }
        throw error
      }
    })
  }

  async console(id: string, signal: AbortSignal): Promise<ByteStream> {
    const domain = await this.#require(id)
    if (isOff(domain)) throw new OperationalError('CONSOLE_BUSY', `Domain ${domain.domainName} is off: it has no console.`)
    return openDomainConsole(this.#endpoint, calls.domainRef(id), signal)
  }

  async screen(id: string, signal: AbortSignal): Promise<ByteStream> {
    const domain = await this.#require(id)
    if (isOff(domain)) throw new OperationalError('CONSOLE_BUSY', `Domain ${domain.domainName} is off: it has no screen.`)
    return openDomainScreen(this.#connection(), domain, this.#options.localPath ?? ((path) => path), signal)
  }

  async migrate(request: MigrateRequest, onProgress: (progress: MigrationProgress) => void, signal: AbortSignal): Promise<MigrationProgress> {
    const { id, target } = request
    const [domain, highest] = [await this.#requireOn(id, 'migrated'), await this.#epochs.highest(id)]
    if (highest > domain.epoch || target.epoch <= domain.epoch) throw staleEpoch(id, target.epoch, Math.max(highest, domain.epoch))
    const onSwitch = (switched: string, listener: () => void): Cancel =>
      this.watch((event) => event.kind === 'domain' && event.id === switched && event.event === 'suspended' && event.detail === 'migrated' && listener())
    return migrateDomain(request, { control: () => this.#connection(), endpoint: this.#endpoint, clock: this.#clock, log: this.#log, onSwitch }, onProgress, signal)
  }

  recoverMigration(id: string): Promise<'here' | 'gone' | 'off'> {
    return recoverDomain(id, { control: () => this.#connection(), clock: this.#clock }, () => this.find(id))
  }

  /** Whom QEMU runs as, for the sockets and files that it has to reach; null where libvirt does not say. */
  async emulatorOwner(): Promise<{ readonly uid: number; readonly gid: number } | null> {
    return parseEmulatorOwner(await this.#connection().call(calls.connectGetCapabilities, undefined))
  }

  watch(listener: (event: DomainEvent) => void): Cancel {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #connection(): RpcConnection {
    return this.#control.session().connection
  }

  async #domainType(session: Session): Promise<DomainType> {
    if (session.driver === 'TEST') return 'test'
    if ((await this.#accelerator) !== 'kvm') return 'qemu'
    // Where libvirtd itself has no /dev/kvm, as in a lab, what the probe found is of no use.
    if (this.#options.accelerator === 'auto' && !(await this.#offersKvm(session.connection))) return 'qemu'
    return 'kvm'
  }

  async #offersKvm(connection: RpcConnection): Promise<boolean> {
    this.#kvmOffered ??= (await connection.call(calls.connectGetCapabilities, undefined)).includes("<domain type='kvm'")
    return this.#kvmOffered
  }

  /** @throws OperationalError DOMAIN_MISSING for one that does not exist or is not ours */
  async #require(id: string): Promise<Domain> {
    const domain = await this.find(id)
    if (domain === null) throw new OperationalError('DOMAIN_MISSING', `Domain ${id} is not on this host.`)
    return domain
  }

  async #requireOn(id: string, verb: string): Promise<Domain> {
    const domain = await this.#require(id)
    if (isOff(domain)) throw new OperationalError('STATE_CONFLICT', `Domain ${domain.domainName} is off: it cannot be ${verb}.`)
    return domain
  }

  /** Somebody else may have been faster: a refusal is fine where the domain is by then what was wanted. */
  async #unlessIn(id: string, wanted: readonly Domain['state'][], action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      if (!isLibvirtError(error, libvirtErrors.operationInvalid, libvirtErrors.operationFailed)) throw error
      const state = (await this.find(id))?.state
      if (state === undefined || !wanted.includes(state)) throw error
    }
  }

  async #refuseOverwriting(connection: RpcConnection, spec: DomainSpec): Promise<void> {
    const [found, named] = await Promise.all([
      findDomain(connection, spec.id),
      connection.call(calls.lookupByName, spec.domainName).catch((error: unknown) => {
        if (isCode(error, 'DOMAIN_MISSING')) return null
        throw error
      }),
    ])
    const foreign = found.kind === 'foreign' || (named !== null && named.id !== spec.id)
    if (foreign) {
      throw new OperationalError('HYPERVISOR_REFUSED', `Another domain on this host has the id ${spec.id} or the name ${spec.domainName}. It was left alone.`, { data: { foreign } })
    }
    if (found.kind === 'own' && found.domain.epoch > spec.epoch) throw staleEpoch(spec.id, spec.epoch, found.domain.epoch)
  }

  /** Owned here: its outcome is in the domain's state, and ACPI is asked as well. */
  #shutdownByAgent(id: string): void {
    this.#agentGate
      .pass(() => this.#agents.session().connection.call(calls.shutdownByAgent, { domain: calls.domainRef(id), flags: flags.shutdownAgent }))
      .catch((error: unknown) => this.#log.debug('guest agent did not take the shutdown', { vmId: id, reason: (error as Error).message }))
  }

  #withHostEnd(domain: Domain): Domain {
    return domain.state === 'off' && domain.reason === 'shutdown' && this.#endedByHost.has(domain.id) ? { ...domain, reason: 'destroyed' } : domain
  }

  #libvirtEvent(procedure: number, body: Parameters<typeof readEvent>[1]): void {
    const event = readEvent(procedure, body)
    if (event === null) return
    if (event.event === 'shutdown' && event.detail === 'host') this.#endedByHost.add(event.id)
    else if (event.event === 'started') this.#endedByHost.delete(event.id)
    if (this.#own.has(event.id)) {
      if (event.event === 'undefined') this.#own.delete(event.id)
      this.#emit({ kind: 'domain', ...event })
    } else if (event.event !== 'undefined') {
      this.find(event.id).then(
        (domain) => domain !== null && this.#emit({ kind: 'domain', ...event }),
        (error: unknown) => this.#log.debug('domain of an event cannot be read', { vmId: event.id, reason: (error as Error).message }),
      )
    }
  }

  #emit(event: DomainEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}

function isOff(domain: Domain): boolean {
  return domain.state === 'off' || domain.state === 'crashed'
}

function parseUri(options: LibvirtOptions): { readonly uri: string; readonly socketPaths: readonly string[] } {
  const [uri = '', query = ''] = (options.uri ?? 'qemu:///system').split('?')
  const socketPath = options.socketPath ?? new URLSearchParams(query).get('socket')
  return { uri, socketPaths: socketPath === null ? defaultSocketPaths : [socketPath] }
}

/** libvirt packs a version into one number: 7002022 is 7.2.22. */
function versionText(version: number): string {
  return `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1000) % 1000}.${version % 1000}`
}
