// One sample of a node as bytes: unsigned LEB128 integers, 16 bytes an id. Fields may be appended; a reader takes those that it knows.
//
//   version, flags, sequence, part, sender's monotonic ms
//   node: count of fields, their values
//   VMs:  counts of fields of a VM, a disk, a nic; count of VMs; each: id, values, disks (count; each: name, values), nics (the same)
//   gone: count, ids
import { diskFields, nicFields, nodeFields, vmFields, type DeviceSample, type MetricField, type VmSample } from '../model/metrics.ts'

const version = 1
const flagFull = 1
const flagLast = 2
const fieldsMax = 256
const vmsMax = 8192
const devicesMax = 64
const nameBytesMax = 255
const idBytes = 16

export type SampleMessage = {
  /** Rises with every sample; all parts of one share it. */
  readonly sequence: number
  /** From 0 on. */
  readonly part: number
  /** The sender's monotonic clock: what rates are made from. */
  readonly atMs: number
  /** Holds every VM of the sender, not only those that changed. */
  readonly full: boolean
  /** No further part of this sample follows. */
  readonly last: boolean
  /** In the order of `nodeFields`; empty in further parts. */
  readonly node: readonly number[]
  readonly vms: readonly VmSample[]
  readonly gone: readonly string[]
}

/** The messages of a sample, each at most `bytesMax` long; VMs are spread over them. */
export function encodeSample(sample: Omit<SampleMessage, 'last' | 'part'>, bytesMax: number): readonly Uint8Array[] {
  const vms = sample.vms.map(encodeVm)
  const parts: Uint8Array[][] = [[]]
  const headBytesMax = 64 + nodeFields.length * 8 + sample.gone.length * idBytes
  let bytes = headBytesMax
  for (const vm of vms) {
    if (bytes + vm.length > bytesMax) {
      parts.push([])
      bytes = 64
    }
    parts.at(-1)?.push(vm)
    bytes += vm.length
  }
  return parts.map((part, at) => {
    const writer = new Writer()
    const first = at === 0
    writer.integer(version)
    writer.integer((sample.full ? flagFull : 0) | (at === parts.length - 1 ? flagLast : 0))
    writer.integer(sample.sequence)
    writer.integer(at)
    writer.integer(Math.max(0, Math.round(sample.atMs)))
    writeValues(writer, nodeFields, first ? sample.node : [])
    for (const fields of [vmFields, diskFields, nicFields]) writer.integer(fields.length)
    writer.integer(part.length)
    for (const vm of part) writer.bytes(vm)
    writer.integer(first ? sample.gone.length : 0)
    if (first) for (const id of sample.gone) writer.bytes(idToBytes(id))
    return writer.finish()
  })
}

/** Null for what is no sample, or one of another version. */
export function decodeSample(data: Uint8Array): SampleMessage | null {
  try {
    const reader = new Reader(data)
    if (reader.integer() !== version) return null
    const flags = reader.integer()
    const [sequence, part, atMs] = [reader.integer(), reader.integer(), reader.integer()]
    const node = readValues(reader, reader.count(fieldsMax), nodeFields)
    const [vmCount, diskCount, nicCount] = [reader.count(fieldsMax), reader.count(fieldsMax), reader.count(fieldsMax)]
    const devices = (count: number, fields: readonly MetricField[]): DeviceSample[] =>
      Array.from({ length: reader.count(devicesMax) }, () => ({ name: reader.text(), values: readValues(reader, count, fields) }))
    const vms = Array.from({ length: reader.count(vmsMax) }, (): VmSample => ({
      id: reader.id(), values: readValues(reader, vmCount, vmFields), disks: devices(diskCount, diskFields), nics: devices(nicCount, nicFields),
    }))
    const gone = Array.from({ length: reader.count(vmsMax) }, () => reader.id())
    return { sequence, part, atMs, full: (flags & flagFull) !== 0, last: (flags & flagLast) !== 0, node, vms, gone }
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

function encodeVm(vm: VmSample): Uint8Array {
  const writer = new Writer()
  writer.bytes(idToBytes(vm.id))
  writeFixed(writer, vmFields, vm.values)
  for (const [devices, fields] of [[vm.disks, diskFields], [vm.nics, nicFields]] as const) {
    const shown = devices.slice(0, devicesMax)
    writer.integer(shown.length)
    for (const device of shown) {
      writer.text(device.name)
      writeFixed(writer, fields, device.values)
    }
  }
  return writer.finish()
}

function writeValues(writer: Writer, fields: readonly MetricField[], values: readonly number[]): void {
  writer.integer(values.length)
  if (values.length > 0) writeFixed(writer, fields, values)
}

function writeFixed(writer: Writer, fields: readonly MetricField[], values: readonly number[]): void {
  for (const [at, field] of fields.entries()) writer.integer(toInteger(values[at] ?? 0, field.scale))
}

function toInteger(value: number, scale: number): number {
  return Number.isFinite(value) ? Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.round(value * scale))) : 0
}

function readValues(reader: Reader, count: number, fields: readonly MetricField[]): number[] {
  const values: number[] = []
  for (let at = 0; at < count; at++) {
    const integer = reader.integer()
    const field = fields[at]
    if (field !== undefined) values.push(integer / field.scale)
  }
  return values
}

function idToBytes(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

class Writer {
  #buffer = Buffer.allocUnsafe(512)
  #length = 0

  integer(value: number): void {
    this.#reserve(8)
    let rest = value
    while (rest >= 128) {
      this.#buffer[this.#length++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#length++] = rest
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  text(text: string): void {
    const bytes = Buffer.from(text).subarray(0, nameBytesMax)
    this.integer(bytes.length)
    this.bytes(bytes)
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#length + bytes, this.#buffer.length * 2))
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = grown
  }
}

/** @throws RangeError where the message ends early or says too much */
class Reader {
  readonly #buffer: Buffer
  #at = 0

  constructor(data: Uint8Array) {
    this.#buffer = Buffer.from(data.buffer, data.byteOffset, data.length)
  }

  integer(): number {
    let value = 0
    for (let weight = 1; ; weight *= 128) {
      const byte = this.#buffer[this.#at++]
      if (byte === undefined || weight > 2 ** 49) throw new RangeError('no integer')
      value += (byte & 127) * weight
      if (byte < 128) break
    }
    if (!Number.isSafeInteger(value)) throw new RangeError('too large')
    return value
  }

  /** How many of something follow. */
  count(max: number): number {
    const count = this.integer()
    if (count > max || count > this.#buffer.length) throw new RangeError('too many')
    return count
  }

  text(): string {
    return this.#take(this.count(nameBytesMax)).toString('utf8')
  }

  id(): string {
    const hex = this.#take(idBytes).toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }

  #take(bytes: number): Buffer {
    if (this.#at + bytes > this.#buffer.length) throw new RangeError('ends early')
    return this.#buffer.subarray(this.#at, (this.#at += bytes))
  }
}
