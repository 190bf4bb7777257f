// The calls of libvirt's remote protocol that we make: numbers and fields are facts of the protocol (libvirt's remote_protocol.x), the tables are ours.
import type { Call } from './rpc.ts'
import type { XdrReader, XdrWriter } from './xdr.ts'

/** libvirt finds a domain by its UUID; the name only has to be there. `runId` is -1 for one that is off. */
export type DomainRef = { readonly name: string; readonly id: string; readonly runId: number }

export const flags = {
  affectLive: 1,
  affectConfig: 2,
  shutdownAcpi: 1,
  shutdownAgent: 2,
  undefineManagedSave: 1,
  undefineSnapshotsMetadata: 2,
  undefineNvram: 4,
  undefineCheckpointsMetadata: 16,
  consoleForce: 1,
  metadataElement: 2,
  addressesFromAgent: 1,
} as const

export const authNone = 0
export const authPolkit = 2
/** VIR_DRV_FEATURE_PROGRAM_KEEPALIVE: asking for it also makes the server ping us. */
export const featureKeepalive = 7

const queryMs = 10_000
const changeMs = 20_000
const startMs = 60_000
const agentMs = 8_000

export const authList: Call<void, readonly number[]> = {
  name: 'auth list', procedure: 66, timeoutMs: queryMs,
  encode: () => {},
  decode: (reader) => reader.array(() => reader.int()),
}
/** Lets libvirtd decide by our process's credentials; root needs no question. */
export const authWithPolkit: Call<void, void> = { name: 'auth polkit', procedure: 70, timeoutMs: queryMs, encode: () => {}, decode: (reader) => void reader.int() }

export const connectOpen: Call<string, void> = {
  name: 'connect', procedure: 1, timeoutMs: queryMs,
  encode: (writer, uri) => {
    writer.maybeString(uri)
    writer.uint(0)
  },
  decode: () => {},
}
export const connectGetType: Call<void, string> = { name: 'hypervisor type', procedure: 3, timeoutMs: queryMs, encode: () => {}, decode: (reader) => reader.string() }
export const connectGetVersion: Call<void, number> = { name: 'hypervisor version', procedure: 4, timeoutMs: queryMs, encode: () => {}, decode: (reader) => Number(reader.uhyper()) }
export const connectGetLibVersion: Call<void, number> = { name: 'libvirt version', procedure: 157, timeoutMs: queryMs, encode: () => {}, decode: (reader) => Number(reader.uhyper()) }
export const connectGetCapabilities: Call<void, string> = { name: 'capabilities', procedure: 7, timeoutMs: changeMs, encode: () => {}, decode: (reader) => reader.string() }
export const connectSupportsFeature: Call<number, boolean> = {
  name: 'supports feature', procedure: 60, timeoutMs: queryMs,
  encode: (writer, feature) => writer.int(feature),
  decode: (reader) => reader.int() === 1,
}

export type NodeInfo = { readonly memoryKib: number; readonly cpus: number }
export const nodeGetInfo: Call<void, NodeInfo> = {
  name: 'node info', procedure: 6, timeoutMs: queryMs,
  encode: () => {},
  decode: (reader) => {
    // The model's name is an array of 32 characters, each a word of its own in XDR.
    reader.opaque(32 * 4)
    const memoryKib = Number(reader.uhyper())
    return { memoryKib, cpus: reader.int() }
  },
}

export const listAllDomains: Call<void, readonly DomainRef[]> = {
  name: 'list domains', procedure: 273, timeoutMs: queryMs,
  encode: (writer) => {
    writer.int(1)
    writer.uint(0)
  },
  decode: (reader) => reader.array(() => readDomain(reader)),
}
export const lookupByUuid: Call<string, DomainRef> = {
  name: 'look up domain by id', procedure: 24, timeoutMs: queryMs,
  encode: (writer, id) => writer.opaque(uuidBytes(id)),
  decode: readDomain,
}
export const lookupByName: Call<string, DomainRef> = {
  name: 'look up domain by name', procedure: 23, timeoutMs: queryMs,
  encode: (writer, name) => writer.string(name),
  decode: readDomain,
}
export type DomainStateWords = { readonly state: number; readonly reason: number }
export const getState: Call<{ readonly domain: DomainRef; readonly flags: number }, DomainStateWords> = {
  name: 'read domain state', procedure: 212, timeoutMs: queryMs, encode: writeDomainFlags,
  decode: (reader) => ({ state: reader.int(), reason: reader.int() }),
}
export const getMetadata: Call<{ readonly domain: DomainRef; readonly uri: string; readonly flags: number }, string> = {
  name: 'read domain metadata', procedure: 265, timeoutMs: queryMs,
  encode: (writer, { domain, uri, flags: bits }) => {
    writeDomain(writer, domain)
    writer.int(flags.metadataElement)
    writer.maybeString(uri)
    writer.uint(bits)
  },
  decode: (reader) => reader.string(),
}
export const defineXmlFlags: Call<{ readonly xml: string; readonly flags: number }, DomainRef> = {
  name: 'define domain', procedure: 350, timeoutMs: changeMs,
  encode: (writer, { xml, flags: bits }) => {
    writer.string(xml)
    writer.uint(bits)
  },
  decode: readDomain,
}

export const createWithFlags = domainCall('start domain', 196, startMs)
export const destroyFlags = domainCall('destroy domain', 234, startMs)
export const shutdownFlags = domainCall('shut down domain', 258, changeMs)
/** The same through the guest's agent, which may be slow or dead. */
export const shutdownByAgent = domainCall('shut down domain by agent', 258, agentMs)
export const resetFlags = domainCall('reset domain', 245, changeMs)
export const undefineFlags = domainCall('undefine domain', 231, changeMs)
export const suspendDomain: Call<DomainRef, void> = { name: 'pause domain', procedure: 34, timeoutMs: changeMs, encode: writeDomain, decode: () => {} }
export const resumeDomain: Call<DomainRef, void> = { name: 'resume domain', procedure: 28, timeoutMs: changeMs, encode: writeDomain, decode: () => {} }

export type InterfaceAddresses = { readonly name: string; readonly addresses: readonly string[] }
export const interfaceAddresses: Call<{ readonly domain: DomainRef; readonly source: number }, readonly InterfaceAddresses[]> = {
  name: 'ask the guest agent for addresses', procedure: 353, timeoutMs: agentMs,
  encode: (writer, { domain, source }) => {
    writeDomain(writer, domain)
    writer.uint(source)
    writer.uint(0)
  },
  decode: (reader) =>
    reader.array(() => {
      const name = reader.string()
      reader.maybeString()
      const addresses = reader.array(() => {
        reader.int()
        const address = reader.string()
        reader.uint()
        return address
      })
      return { name, addresses }
    }),
}
/** Bounds how long libvirt itself waits for the agent, so that a dead agent cannot hold a worker. */
export const agentSetResponseTimeout: Call<{ readonly domain: DomainRef; readonly seconds: number }, void> = {
  name: 'bound the guest agent', procedure: 420, timeoutMs: queryMs,
  encode: (writer, { domain, seconds }) => {
    writeDomain(writer, domain)
    writer.int(seconds)
    writer.uint(0)
  },
  decode: () => {},
}

export const openConsole: Call<{ readonly domain: DomainRef; readonly flags: number }, void> = {
  name: 'open console', procedure: 201, timeoutMs: queryMs,
  encode: (writer, { domain, flags: bits }) => {
    writeDomain(writer, domain)
    writer.maybeString(null)
    writer.uint(bits)
  },
  decode: () => {},
}

/** Registers for one kind of event of all domains. */
export const eventRegister: Call<number, number> = {
  name: 'register for events', procedure: 316, timeoutMs: queryMs,
  encode: (writer, kind) => {
    writer.int(kind)
    writer.uint(0)
  },
  decode: (reader) => reader.int(),
}

export function writeDomain(writer: XdrWriter, domain: DomainRef): void {
  writer.string(domain.name)
  writer.opaque(uuidBytes(domain.id))
  writer.int(domain.runId)
}

export function readDomain(reader: XdrReader): DomainRef {
  const name = reader.string()
  const id = uuidText(reader.opaque(16))
  return { name, id, runId: reader.int() }
}

/** A reference made from an id alone. */
export function domainRef(id: string): DomainRef {
  return { name: id, id, runId: -1 }
}

function domainCall(name: string, procedure: number, timeoutMs: number): Call<{ readonly domain: DomainRef; readonly flags: number }, void> {
  return { name, procedure, timeoutMs, encode: writeDomainFlags, decode: () => {} }
}

function writeDomainFlags(writer: XdrWriter, args: { readonly domain: DomainRef; readonly flags: number }): void {
  writeDomain(writer, args.domain)
  writer.uint(args.flags)
}

function uuidBytes(id: string): Buffer {
  const bytes = Buffer.from(id.replaceAll('-', ''), 'hex')
  if (bytes.length !== 16) throw new RangeError(`not a UUID: ${id}`)
  return bytes
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
