// The rival of live migration: the same domain moved by bare `virsh migrate` over TCP between the same two hosts, with nothing of ours around it.
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { hostPaths } from '../src/cli/lab/host-files.ts'
import type { LabHost, LabState } from '../src/cli/lab/lab-state.ts'

const runFile = promisify(execFile)
const timeoutMs = 120_000
/** What NovaCron asks of libvirt too; only that the target goes on by itself instead of waiting for the cluster's word. */
export const virshOptions = ['--live', '--p2p', '--persistent', '--undefinesource', '--copy-storage-inc', '--abort-on-error', '--auto-converge'] as const

type Disk = { readonly path: string; readonly bytes: number; readonly image: { readonly path: string; readonly format: string } | null }

/** A domain that is libvirt's alone, made after one of the product's, and moved to and fro. */
export class BareGuest {
  readonly #lab: LabState
  readonly #name = `bare-${randomUUID().slice(0, 8)}`
  readonly #disks: readonly Disk[]
  #xml: string

  private constructor(lab: LabState, xml: string, disks: readonly Disk[]) {
    this.#lab = lab
    this.#disks = disks
    this.#xml = xml.replace(/<name>[^<]*<\/name>/, `<name>${this.#name}</name>`).replace(/<uuid>[^<]*<\/uuid>/, `<uuid>${randomUUID()}</uuid>`)
  }

  /** The product's domain as it lies on `host`, which it has to be off for: its disks are copied as they are. */
  static async after(lab: LabState, host: string, domainName: string): Promise<BareGuest> {
    const dumped = await virsh(lab, host, 'dumpxml', '--inactive', domainName)
    const paths = [...dumped.matchAll(/<source file='([^']+)'/g)].map((match) => match[1] ?? '')
    const disks = await Promise.all(paths.map((path) => inspect(path)))
    const guest = new BareGuest(lab, dumped.replace(/\s*<metadata>[\s\S]*?<\/metadata>/, ''), disks)
    mkdirSync(guest.#directory(host), { recursive: true })
    for (const disk of disks) await runFile('cp', ['--sparse=always', disk.path, guest.#pathOn(host, disk)])
    const file = guest.#write(host, 'domain.xml')
    await virsh(lab, host, 'define', file)
    await virsh(lab, host, 'start', guest.#name)
    return guest
  }

  /** @returns milliseconds that virsh took; the target's empty disks are made before, untimed */
  async migrate(from: string, to: string): Promise<number> {
    mkdirSync(this.#directory(to), { recursive: true })
    for (const disk of this.#disks) {
      const base = disk.image === null ? [] : ['-b', this.#imageOn(to, disk.image.path), '-F', disk.image.format]
      await runFile('qemu-img', ['create', '-q', '-f', 'qcow2', ...base, this.#pathOn(to, disk), String(disk.bytes)])
    }
    const live = await virsh(this.#lab, from, 'dumpxml', '--migratable', this.#name)
    const [liveFile, lastingFile] = [this.#write(to, 'live.xml', this.#moved(live, from, to)), this.#write(to, 'domain.xml')]
    const socket = hostPaths(this.#lab, to).libvirtSocket
    const beganMs = performance.now()
    await virsh(this.#lab, from, 'migrate', this.#name, `qemu+unix:///system?socket=${socket}`, ...virshOptions, '--migrateuri', `tcp://${this.#host(to).address}`, '--xml', liveFile, '--persistent-xml', lastingFile)
    const tookMs = performance.now() - beganMs
    rmSync(this.#directory(from), { recursive: true, force: true })
    return tookMs
  }

  async remove(hosts: readonly string[]): Promise<void> {
    for (const host of hosts) {
      await virsh(this.#lab, host, 'destroy', this.#name).catch(() => '')
      await virsh(this.#lab, host, 'undefine', this.#name).catch(() => '')
      rmSync(this.#directory(host), { recursive: true, force: true })
    }
  }

  #host(name: string): LabHost {
    return this.#lab.hosts.find((host) => host.name === name)!
  }

  #directory(host: string): string {
    return join(hostPaths(this.#lab, host).data, 'bare')
  }

  #pathOn(host: string, disk: Disk): string {
    return join(this.#directory(host), basename(disk.path))
  }

  #imageOn(host: string, imagePath: string): string {
    return join(hostPaths(this.#lab, host).data, 'storage', 'images', basename(imagePath))
  }

  #write(host: string, name: string, xml = this.#disks.reduce((text, disk) => text.replace(disk.path, this.#pathOn(host, disk)), this.#xml)): string {
    const file = join(this.#directory(host), name)
    writeFileSync(file, xml)
    return file
  }

  #moved(live: string, from: string, to: string): string {
    const pointed = this.#disks.reduce((text, disk) => text.replaceAll(this.#pathOn(from, disk), this.#pathOn(to, disk)), live)
    return pointed.replace(/\s*<backingStore type='file'[\s\S]*?<\/backingStore>\s*(?=<target)/g, '').replace(/ socket='[^']*'/g, '')
  }
}

async function inspect(path: string): Promise<Disk> {
  const { stdout } = await runFile('qemu-img', ['info', '--force-share', '--output=json', path])
  const info = JSON.parse(stdout) as { 'virtual-size': number; 'full-backing-filename'?: string; 'backing-filename-format'?: string }
  const image = info['full-backing-filename'] === undefined ? null : { path: info['full-backing-filename'], format: info['backing-filename-format'] ?? 'qcow2' }
  return { path, bytes: info['virtual-size'], image }
}

async function virsh(lab: LabState, host: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await runFile('virsh', ['-q', '-c', `qemu:///system?socket=${hostPaths(lab, host).libvirtSocket}`, ...args], { timeout: timeoutMs })
  return stdout
}
