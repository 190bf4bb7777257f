// The rival of VM creation: the same domain, defined and started by virsh or by bare RPC calls, with nothing of ours around it.
import { execFile, execFileSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../src/drivers/host/clock.ts'
import { createWithFlags, defineXmlFlags, destroyFlags, undefineFlags } from '../src/drivers/libvirt/calls.ts'
import { openSession } from '../src/drivers/libvirt/link.ts'
import type { RpcConnection } from '../src/drivers/libvirt/rpc.ts'

const runFile = promisify(execFile)

/** A domain's XML as it goes to `define`, and the disk it names. */
export type Copy = { readonly uuid: string; readonly name: string; readonly xml: string; readonly diskPath: string }
export type Image = { readonly path: string; readonly format: string }
export type Timing = { readonly diskMs: number; readonly defineMs: number; readonly startMs: number }
export type Bare = {
  readonly version: string
  /** XML of one of the product's own domains, without what ties it to the product and to its run. */
  template(domainName: string): Promise<string>
  copy(template: string): Copy
  byVirsh(copy: Copy, image: Image): Promise<Timing>
  byRpc(copy: Copy, image: Image): Promise<Timing>
  /** What the disk of a template's domain is an overlay of. */
  imageOf(template: string): Promise<Image>
  remove(copy: Copy): Promise<void>
  close(): void
}

/** @throws Error that says what is missing and how to get it */
export function requireVirsh(): string {
  try {
    return execFileSync('virsh', ['--version'], { encoding: 'utf8' }).trim()
  } catch (cause) {
    throw new Error('The rival virsh is not on this machine: nothing is measured without it. On Debian and Ubuntu: apt-get install libvirt-clients', { cause })
  }
}

/** @param options.socketPath libvirt's socket of the host; `directory` is where the disks go */
export async function openBare(options: { readonly socketPath: string; readonly directory: string }): Promise<Bare> {
  const version = requireVirsh()
  mkdirSync(options.directory, { recursive: true })
  const connection = await openConnection(options.socketPath)
  const virsh = async (...args: readonly string[]): Promise<string> => (await runFile('virsh', ['-q', '-c', `qemu:///system?socket=${options.socketPath}`, ...args])).stdout
  return {
    version,
    template: async (domainName) => detach(await virsh('dumpxml', '--inactive', domainName)),
    copy: (template) => copyOf(template, options.directory),
    async byVirsh(copy, image) {
      const file = join(options.directory, `${copy.name}.xml`)
      writeFileSync(file, copy.xml)
      const diskMs = await timed(() => makeDisk(copy, image))
      const defineMs = await timed(() => virsh('define', file))
      return { diskMs, defineMs, startMs: await timed(() => virsh('start', copy.name)) }
    },
    async byRpc(copy, image) {
      const diskMs = await timed(() => makeDisk(copy, image))
      const defineMs = await timed(() => connection.call(defineXmlFlags, { xml: copy.xml, flags: 0 }))
      return { diskMs, defineMs, startMs: await timed(() => connection.call(createWithFlags, { domain: refOf(copy), flags: 0 })) }
    },
    async imageOf(template) {
      const { stdout } = await runFile('qemu-img', ['info', '--force-share', '--output=json', diskOf(template)])
      const info = JSON.parse(stdout) as { 'full-backing-filename': string; 'backing-filename-format': string }
      return { path: info['full-backing-filename'], format: info['backing-filename-format'] }
    },
    async remove(copy) {
      await connection.call(destroyFlags, { domain: refOf(copy), flags: 0 })
      await connection.call(undefineFlags, { domain: refOf(copy), flags: 0 })
      rmSync(copy.diskPath)
    },
    close: () => connection.close('measured'),
  }
}

async function openConnection(socketPath: string): Promise<RpcConnection> {
  const endpoint = { uri: 'qemu:///system', socketPaths: [socketPath], clock: systemClock, keepaliveMs: 5_000, callTimeoutMsMax: 60_000 }
  return (await openSession(endpoint, { keepalive: false, onEvent: () => {} }, new AbortController().signal)).connection
}

/** The daemon on the host would take a domain with its metadata for one of its own; the rest of the XML stays as libvirt gave it. */
function detach(xml: string): string {
  return xml.replace(/\s*<metadata>[\s\S]*?<\/metadata>/, '')
}

function copyOf(template: string, directory: string): Copy {
  const uuid = randomUUID()
  const name = `bare-${uuid.slice(0, 8)}`
  const diskPath = join(directory, `${name}.qcow2`)
  const mac = `52:54:00:${[...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`
  const xml = template
    .replace(/<name>[^<]*<\/name>/, `<name>${name}</name>`)
    .replace(/<uuid>[^<]*<\/uuid>/, `<uuid>${uuid}</uuid>`)
    .replace(/<mac address='[^']*'\/>/, `<mac address='${mac}'/>`)
    .replace(diskOf(template), diskPath)
  return { uuid, name, xml, diskPath }
}

function diskOf(xml: string): string {
  const path = /<source file='([^']+)'/.exec(xml)?.[1]
  if (path === undefined) throw new Error('the domain has no disk')
  return path
}

/** As the product's storage driver makes it: a qcow2 overlay of the image. */
async function makeDisk(copy: Copy, image: Image): Promise<void> {
  await runFile('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image.path, '-F', image.format, copy.diskPath])
}

function refOf(copy: Copy): { readonly name: string; readonly id: string; readonly runId: number } {
  return { name: copy.name, id: copy.uuid, runId: -1 }
}

async function timed(step: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await step()
  return performance.now() - startedMs
}
