// What is really so on a lab's hosts, asked of libvirt, QEMU's processes and the file system, never of NovaCron.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WebSocket } from 'ws'
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

/** A VM's serial console through the API of a node. */
export class ConsoleReader {
  readonly #socket: WebSocket
  text = ''

  constructor(lab: Lab, node: string, vmId: string) {
    this.#socket = new WebSocket(`${lab.node(node).url.replace('https', 'wss')}/api/v1/vms/${vmId}/console`, {
      ca: readFileSync(lab.report?.caFile ?? ''), headers: { authorization: `Bearer ${lab.report?.token ?? ''}` },
    })
    this.#socket.on('message', (data: Buffer) => (this.text += data.toString()))
    this.#socket.on('error', () => {})
  }

  /** The last whole tick that was read; 0 before the first. */
  get tick(): number {
    return Number([...this.text.matchAll(/tick (\d+)\r?\n/g)].at(-1)?.[1] ?? 0)
  }

  send(text: string): void {
    this.#socket.send(Buffer.from(text))
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  close(): void {
    this.#socket.terminate()
  }
}
