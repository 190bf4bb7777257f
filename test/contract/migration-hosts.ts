// Two hosts for migrations: each with a private libvirtd, storage, hypervisor and relay process, and between their relays a link that can be cut.
import { randomUUID } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createAuthority, issueCertificate } from '../../src/drivers/crypto/authority.ts'
import { createTlsKey, type CertificateAndKey } from '../../src/drivers/crypto/certificate.ts'
import { systemClock } from '../../src/drivers/host/clock.ts'
import { LibvirtHypervisor } from '../../src/drivers/libvirt/hypervisor.ts'
import type { RelayTls } from '../../src/drivers/relay/messages.ts'
import { RelayProcess } from '../../src/drivers/relay/relay.ts'
import { LocalStorage } from '../../src/drivers/storage/local.ts'
import type { DomainSpec } from '../../src/ports/hypervisor.ts'
import type { ImageFile } from '../../src/ports/storage.ts'
import { PrivateLibvirtd, until } from './libvirtd.ts'
import { memoryLocalStore, silentLog } from './memory.ts'
import { startRelay, type Relay } from './transport-relay.ts'

const run = promisify(execFile)
/** Built by `make tiny`. */
const tiny = join(import.meta.dirname, '../../build/tiny.qcow2')
export const never = new AbortController().signal

/** A key and a certificate of a node, as the cluster's authority issues it. */
export async function relayTls(authority: CertificateAndKey, name: string, nodeId?: string): Promise<RelayTls> {
  const key = await createTlsKey()
  const certPem = await issueCertificate({
    caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, key: { kind: 'publicKey', pem: key.publicKeyPem },
    commonName: name, names: [name], addresses: ['127.0.0.1'], days: 1, nowMs: Date.now(), ...(nodeId === undefined ? {} : { nodeId }),
  })
  return { certPem, keyPem: key.keyPem, caPem: authority.certificatePem }
}

export function newAuthority(clusterName: string): Promise<CertificateAndKey> {
  return createAuthority({ clusterName, nowMs: Date.now() })
}

export class MigrationHost {
  readonly nodeId = randomUUID()
  readonly name: string
  readonly libvirtd: PrivateLibvirtd
  readonly storage: LocalStorage
  readonly hypervisor: LibvirtHypervisor
  #relay: RelayProcess | null = null

  constructor(name: string, options: { readonly qemuUser?: string }) {
    this.name = name
    this.libvirtd = new PrivateLibvirtd(options)
    this.storage = new LocalStorage({ directory: join(this.libvirtd.directory, 'storage') }, { log: silentLog })
    this.hypervisor = new LibvirtHypervisor({ socketPath: this.libvirtd.socketPath, accelerator: 'tcg' }, { epochs: memoryLocalStore(), clock: systemClock, log: silentLog })
  }

  get relay(): RelayProcess {
    return this.#relay!
  }

  async open(authority: CertificateAndKey, names: ReadonlyMap<string, string>): Promise<void> {
    const tls = await relayTls(authority, this.name, this.nodeId)
    await this.libvirtd.open()
    await this.storage.start()
    await this.hypervisor.start(never)
    this.#relay = new RelayProcess(
      {
        listen: { host: '127.0.0.1', port: 0 }, advertise: '127.0.0.1', directory: join(this.libvirtd.directory, 'run', 'novacron'),
        hypervisorDirectory: '/run/libvirt/novacron', libvirtSocket: this.libvirtd.socketPath,
      },
      { clock: systemClock, log: silentLog, tls: () => tls, memberName: (nodeId) => names.get(nodeId) ?? null, emulatorOwner: () => this.hypervisor.emulatorOwner() },
    )
  }

  async qemuPid(vmId: string): Promise<number | null> {
    // Both hosts' QEMUs have the VM's id; its monitor socket lies in its own host's directory by the domain's runtime id.
    const { stdout } = await run('pgrep', ['-f', `^/usr/bin/qemu-system-x86_64 .*-uuid ${vmId}`]).catch(() => ({ stdout: '' }))
    const own = this.libvirtd.namespace()
    return stdout.split('\n').filter(Boolean).map(Number).find((pid) => this.libvirtd.namespace(pid) === own) ?? null
  }

  async domainNames(): Promise<readonly string[]> {
    const { stdout } = await run('virsh', ['-q', '-c', `qemu:///system?socket=${this.libvirtd.socketPath}`, 'list', '--all', '--name'], { timeout: 20_000 })
    return stdout.split('\n').filter(Boolean)
  }

  async close(): Promise<void> {
    await this.#relay?.stop()
    await this.hypervisor.stop()
    await this.libvirtd.close()
  }
}

export class MigrationHosts {
  readonly source: MigrationHost
  readonly target: MigrationHost
  authority!: CertificateAndKey
  #image!: ImageFile
  #links: Relay[] = []

  constructor(options: { readonly qemuUser?: string } = {}) {
    this.source = new MigrationHost('alpha', options)
    this.target = new MigrationHost('beta', options)
  }

  async open(): Promise<void> {
    if (!existsSync(tiny)) throw new Error('build/tiny.qcow2 is missing: run `make tiny` first')
    this.authority = await newAuthority('one')
    const names = new Map([this.source, this.target].map((host) => [host.nodeId, host.name]))
    for (const host of [this.source, this.target]) {
      await host.open(this.authority, names)
      this.#image = await host.storage.importImage(createReadStream(tiny), { sha256: null, sizeBytesMax: 2 ** 30 }, never)
    }
  }

  async close(): Promise<void> {
    for (const link of this.#links) await link.stop()
    for (const host of [this.source, this.target]) await host.close()
  }

  /** Boots tiny on the source and waits until it ticks. @param dataMiB written into a second disk */
  async guest(dataMiB: number): Promise<MovingGuest> {
    const id = randomUUID()
    const spec = await this.#spec(this.source, { id, epoch: 1, dataMiB })
    await run('qemu-io', ['-f', 'qcow2', '-c', `write -P 0x5a 0 ${dataMiB}M`, spec.disks[1]!.path])
    await this.source.hypervisor.define(spec)
    await this.source.hypervisor.boot(id, 1)
    const ticks = await followTicks(this.source, id)
    await until(() => ticks.last() > 1, 'the guest to tick', 45_000)
    return { id, dataMiB, spec, target: await this.#spec(this.target, { id, epoch: 2, dataMiB }), ticks }
  }

  /** Empty disks at the target, as the operation's first step makes them. */
  async prepareTarget({ id, dataMiB }: MovingGuest): Promise<void> {
    await this.target.storage.deleteVolumes(id)
    await this.#spec(this.target, { id, epoch: 2, dataMiB })
  }

  async #spec(host: MigrationHost, { id, epoch, dataMiB }: { readonly id: string; readonly epoch: number; readonly dataMiB: number }): Promise<DomainSpec> {
    const root = await host.storage.createVolume({ vmId: id, name: 'root', sizeBytes: 2 ** 30, image: this.#image })
    const data = await host.storage.createVolume({ vmId: id, name: 'data', sizeBytes: dataMiB * 2 ** 20, image: null })
    const seedPath = await host.storage.writeSeed(id, { hostname: 'guest', userData: '#cloud-config\n{}\n' })
    const disks = [root, data].map(({ name, path }) => ({ name, path, format: 'qcow2' as const, bus: 'virtio' as const, readOnly: false }))
    return { id, domainName: `guest.${id.slice(-8)}`, title: 'guest', epoch, cpus: 1, memoryMiB: 128, firmware: 'bios', disks, seedPath, nics: [{ network: 'nat', mac: '52:54:00:aa:bb:cc' }] }
  }

  /** @returns the address under which the source reaches the target's relay, through a link that can be cut */
  async link(address: string): Promise<Relay> {
    const link = await startRelay(() => Number(address.slice(address.lastIndexOf(':') + 1)))
    this.#links.push(link)
    return link
  }

  /** What the operation's undo does on the target, and what its end does on both. */
  async forget(id: string): Promise<void> {
    for (const { hypervisor, storage } of [this.source, this.target]) {
      if ((await hypervisor.find(id)) !== null) {
        await hypervisor.destroy(id).catch(() => {})
        await hypervisor.undefine(id)
      }
      await storage.deleteVolumes(id)
    }
  }
}

export type MovingGuest = { readonly id: string; readonly dataMiB: number; readonly spec: DomainSpec; readonly target: DomainSpec; ticks: Ticks }
export type Ticks = { last(): number; close(): Promise<void> }

/** Reads the guest's console, which counts. */
export async function followTicks(host: MigrationHost, id: string): Promise<Ticks> {
  const abort = new AbortController()
  const stream = await host.hypervisor.console(id, abort.signal)
  let last = 0
  let text = ''
  const reading = (async () => {
    try {
      for await (const bytes of stream.readable) {
        text = (text + new TextDecoder().decode(bytes)).slice(-4096)
        for (const [, number] of text.matchAll(/tick (\d+)/g)) last = Math.max(last, Number(number))
      }
    } catch {
      // It ended with its QEMU.
    }
  })()
  return {
    last: () => last,
    close: async () => {
      abort.abort()
      await reading
    },
  }
}
