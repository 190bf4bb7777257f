// The calls of libvirt's remote protocol that migration takes: numbers and fields are facts of the protocol, the tables are ours.
import { writeDomain, type DomainRef } from './calls.ts'
import type { Call } from './rpc.ts'
import { readTypedParams, writeTypedParams, type TypedParam } from './typed-params.ts'

const queryMs = 10_000
const changeMs = 20_000
/** A week: the call lasts as long as the migration, and its owner bounds that. */
export const migrationMsMax = 7 * 86_400_000

/** virDomainMigrateFlags. */
export const migrateFlags = { live: 1, peer2peer: 2, persistDest: 8, paused: 32, nonSharedInc: 128, abortOnError: 4096, autoConverge: 8192 } as const
/** virDomainXMLFlags. */
export const xmlFlags = { secure: 1, migratable: 8 } as const
/** virDomainGetJobStatsFlags. */
export const jobStatsCompleted = 1
/** virDomainJobType. */
export const jobNone = 0
/** virDomainJobOperation. */
export const operationMigrationOut = 5

export const getXmlDescription: Call<{ readonly domain: DomainRef; readonly flags: number }, string> = {
  name: 'read domain definition', procedure: 14, timeoutMs: queryMs,
  encode: (writer, { domain, flags }) => {
    writeDomain(writer, domain)
    writer.uint(flags)
  },
  decode: (reader) => reader.string(),
}

export const migratePerform: Call<{ readonly domain: DomainRef; readonly target: string; readonly params: readonly TypedParam[]; readonly flags: number }, void> = {
  name: 'migrate domain', procedure: 305, timeoutMs: migrationMsMax,
  encode: (writer, { domain, target, params, flags }) => {
    writeDomain(writer, domain)
    writer.maybeString(target)
    writeTypedParams(writer, params)
    // No cookie: the first of the five phases is made by libvirtd itself.
    writer.uint(0)
    writer.uint(flags)
  },
  decode: () => {},
}

export type JobStats = { readonly type: number; readonly values: ReadonlyMap<string, number | bigint | string> }
export const getJobStats: Call<{ readonly domain: DomainRef; readonly flags: number }, JobStats> = {
  name: 'read job statistics', procedure: 298, timeoutMs: queryMs,
  encode: (writer, { domain, flags }) => {
    writeDomain(writer, domain)
    writer.uint(flags)
  },
  decode: (reader) => ({ type: reader.int(), values: readTypedParams(reader) }),
}

export const abortJob: Call<DomainRef, void> = { name: 'abort job', procedure: 164, timeoutMs: changeMs, encode: writeDomain, decode: () => {} }
