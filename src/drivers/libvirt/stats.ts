// Statistics of all our domains in one call: libvirt's typed parameters as our fields.
import type { DomainStats } from '../../ports/hypervisor.ts'
import { readDomain } from './calls.ts'
import { isLibvirtError, libvirtErrors } from './errors.ts'
import type { Call, RpcConnection } from './rpc.ts'
import { readTypedParams } from './typed-params.ts'

/** virDomainStatsTypes: CPU_TOTAL, BALLOON, INTERFACE, BLOCK. */
const groups = 2 | 4 | 16 | 32
/** virConnectGetAllDomainStatsFlags: ACTIVE, and NOWAIT: a domain that somebody works on is told without what its monitor would say. */
const onlyActive = 1
const withoutWaiting = 1 << 29
const devicesMax = 64
const bytesPerKib = 1024
const nanosecondsPerSecond = 1e9

type Params = ReadonlyMap<string, number | bigint | string>
type DomainRecord = { readonly id: string; readonly params: Params }

/** An array of domains that is empty means all of them. */
const getAllStats: Call<void, readonly DomainRecord[]> = {
  name: 'read statistics', procedure: 344, timeoutMs: 10_000,
  encode: (writer) => {
    writer.uint(0)
    writer.uint(groups)
    writer.uint(onlyActive | withoutWaiting)
  },
  decode: (reader) => reader.array(() => ({ id: readDomain(reader).id, params: readTypedParams(reader) })),
}

/** @param isOwn others' domains are never shown */
export async function readStats(connection: RpcConnection, isOwn: (id: string) => boolean): Promise<readonly DomainStats[]> {
  try {
    const records = await connection.call(getAllStats, undefined)
    // A domain whose monitor was busy comes without its CPU time: it is left out this time, or its counters would seem to start anew.
    return records.filter(({ id, params }) => isOwn(id) && params.has('cpu.time')).map(statsOf)
  } catch (error) {
    if (isLibvirtError(error, libvirtErrors.noSupport)) return []
    throw error
  }
}

export function statsOf({ id, params }: DomainRecord): DomainStats {
  const value = (name: string): number => Number(params.get(name) ?? 0)
  const kib = (name: string): number => value(name) * bytesPerKib
  const devices = <T>(kind: string, read: (prefix: string, name: string) => T): T[] => {
    const count = Math.min(devicesMax, value(`${kind}.count`))
    return Array.from({ length: count }, (_, at) => `${kind}.${at}`).flatMap((prefix) => {
      const name = params.get(`${prefix}.name`)
      return name === undefined ? [] : [read(prefix, String(name))]
    })
  }
  return {
    id,
    cpuSeconds: value('cpu.time') / nanosecondsPerSecond,
    memoryResidentBytes: kib('balloon.rss'), memoryBalloonBytes: kib('balloon.current'),
    disks: devices('block', (prefix, name) => ({
      name, readBytes: value(`${prefix}.rd.bytes`), writtenBytes: value(`${prefix}.wr.bytes`), reads: value(`${prefix}.rd.reqs`), writes: value(`${prefix}.wr.reqs`),
    })),
    nics: devices('net', (prefix, name) => ({
      name, receiveBytes: value(`${prefix}.rx.bytes`), receivePackets: value(`${prefix}.rx.pkts`), receiveErrors: value(`${prefix}.rx.errs`), receiveDrops: value(`${prefix}.rx.drop`),
      transmitBytes: value(`${prefix}.tx.bytes`), transmitPackets: value(`${prefix}.tx.pkts`), transmitErrors: value(`${prefix}.tx.errs`), transmitDrops: value(`${prefix}.tx.drop`),
    })),
  }
}
