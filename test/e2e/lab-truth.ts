// What is really so on a lab's hosts, asked of libvirt, QEMU's processes and the file system, never of NovaCron.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { Api } from './lab-api.ts'
import type { Lab } from './lab-runner.ts'
import { run, type Ran } from './lab-runner.ts'

export type Domain = { readonly name: string; readonly uuid: string; readonly state: string; /** QEMU's process id; null where it does not run. */ readonly pid: number | null }

export class Truth {
  readonly #lab: Lab

  constructor(lab: Lab) {
    this.#lab = lab
  }

  /** virsh on a host, over the host's own socket. */
  async virsh(node: string, ...args: readonly string[]): Promise<Ran> {
    return await run(['virsh', '-q', '-c', `qemu:///system?socket=${this.#path(node, 'run/libvirt/libvirt-sock')}`, ...args], { timeoutMs: 20_000 })
  }

  /** All domains of a host by name, also foreign ones. */
  async domains(node: string): Promise<readonly Domain[]> {
    const listed = await this.virsh(node, 'list', '--all', '--name')
    if (listed.code !== 0) throw new Error(`virsh list on ${node}: ${listed.stderr}`)
    const names = listed.stdout.split('\n').map((line) => line.trim()).filter((line) => line !== '').toSorted()
    return await Promise.all(names.map(async (name) => ({
      name,
      uuid: (await this.virsh(node, 'domuuid', name)).stdout.trim(),
      state: (await this.virsh(node, 'domstate', name)).stdout.trim(),
      pid: this.qemuPid(node, name),
    })))
  }

  /** The domain of a VM on a host. */
  async domain(node: string, vmId: string): Promise<Domain | undefined> {
    return (await this.domains(node)).find((domain) => domain.uuid === vmId)
  }

  /** The living QEMU of a domain, by libvirt's file and the process table. */
  qemuPid(node: string, domainName: string): number | null {
    const file = this.#path(node, `run/libvirt/qemu/${domainName}.pid`)
    if (!existsSync(file)) return null
    const pid = Number(readFileSync(file, 'utf8'))
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`guest=${domainName}`) ? pid : null
    } catch {
      return null
    }
  }

  /** Files under the storage's folder of a node, relative, sorted. */
  files(node: string, folder: 'images' | 'volumes' | 'incoming'): readonly string[] {
    return globSync('**/*', { cwd: join(this.#lab.node(node).dataDir, 'storage', folder) }).toSorted()
  }

  #path(node: string, path: string): string {
    return join(this.#lab.dir, node, path)
  }
}

/** A VM's serial console through the API of a node: by a ticket for each connection, and again by itself after every break until it is closed. */
export class ConsoleReader {
  readonly #lab: Lab
  readonly #node: string
  readonly #vmId: string
  #socket: WebSocket | null = null
  #closed = false
  text = ''
  /** How often it was connected. */
  connections = 0
  /** Why each connection ended: code and reason. */
  readonly closes: string[] = []

  constructor(lab: Lab, node: string, vmId: string) {
    this.#lab = lab
    this.#node = node
    this.#vmId = vmId
    void this.#keep()
  }

  /** The last whole tick that was read; 0 before the first. */
  get tick(): number {
    return Number([...this.text.matchAll(/tick (\d+)\r?\n/g)].at(-1)?.[1] ?? 0)
  }

  send(text: string): void {
    this.#socket?.send(Buffer.from(text))
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  close(): void {
    this.#closed = true
    this.#socket?.terminate()
  }

  async #keep(): Promise<void> {
    const api = new Api(this.#lab)
    while (!this.#closed) {
      const { status, body } = await api.call(this.#node, 'POST', `/api/v1/vms/${this.#vmId}/console`, { body: { type: 'serial' } })
      if (status === 200 && !this.#closed) await this.#follow(`${this.#lab.node(this.#node).url.replace('https', 'wss')}${String((body as { url: unknown }).url)}`)
      await delay(200)
    }
  }

  async #follow(url: string): Promise<void> {
    const socket = new WebSocket(url, { ca: readFileSync(this.#lab.report?.caFile ?? '') })
    this.#socket = socket
    const { promise, resolve } = Promise.withResolvers<void>()
    socket.on('open', () => this.connections++)
    socket.on('message', (data: Buffer) => (this.text += data.toString()))
    socket.on('error', () => {})
    socket.on('close', (code, reason) => {
      this.closes.push(`${code} ${reason.toString()}`)
      resolve()
    })
    await promise
  }
}
