// A support bundle in memory, and on a simulated disk, from which a simulated node starts as the real one would.
import { readBundle } from '../../src/cli/bundle-file.ts'
import { encodeEntryData } from '../../src/cluster/entry.ts'
import { SimDisk } from '../../src/drivers/sim/disk.ts'
import { parseCommand, type Command } from '../../src/model/command.ts'
import type { BundleLine } from '../../src/model/support-bundle.ts'
import type { Entry } from '../../src/raft/types.ts'
import { addDigest, digestText, digestVersion, subtractDigest, type Digest } from '../../src/state/canonical.ts'
import { SimRandom } from './sim-random.ts'

type LineOf<Kind extends BundleLine['kind']> = Extract<BundleLine, { readonly kind: Kind }>
export type BundleEntry = LineOf<'entry'>
export type Bundle = {
  readonly head: LineOf<'bundle'>
  readonly status: LineOf<'status'>
  readonly base: LineOf<'base'>
  readonly records: readonly LineOf<'record'>[]
  readonly entries: readonly BundleEntry[]
  readonly mismatch: LineOf<'mismatch'> | null
  readonly omitted: readonly string[]
}

/** @throws Error where it is no whole bundle, or holds no state */
export async function loadBundle(path: string): Promise<Bundle> {
  const one = new Map<string, BundleLine>()
  const records: LineOf<'record'>[] = []
  const entries: BundleEntry[] = []
  const omitted: string[] = []
  for await (const line of readBundle(path)) {
    if (line.kind === 'record') records.push(line)
    else if (line.kind === 'entry') entries.push(line)
    else if (line.kind === 'omitted') omitted.push(line.why)
    else one.set(line.kind, line)
  }
  const [head, status, base, mismatch] = [one.get('bundle'), one.get('status'), one.get('base'), one.get('mismatch') ?? null]
  if (head?.kind !== 'bundle' || status?.kind !== 'status' || base?.kind !== 'base') throw new Error(`${path} holds no state${omitted.length === 0 ? '' : `: ${omitted.join(' ')}`}`)
  if (head.digest !== digestVersion) throw new Error(`${path} is of version ${head.version}, which makes its hashes in another way (${head.digest}, here ${digestVersion}): replay it with that version.`)
  if (records.length !== base.records) throw new Error(`${path} holds ${records.length} of ${base.records} records: it cannot be replayed`)
  return { head, status, base, records, entries, omitted, mismatch: mismatch?.kind === 'mismatch' ? mismatch : null }
}

/** What the secrets that are not in the bundle add to the hash, after each entry. */
export class Corrections {
  readonly #first: number
  readonly #corrections: Digest[]

  constructor({ base, entries }: Bundle) {
    this.#first = base.index
    let correction = parseDigest(base.correction)
    this.#corrections = [correction]
    for (const entry of entries) {
      if (entry.correction !== undefined) correction = parseDigest(entry.correction)
      this.#corrections.push(correction)
    }
  }

  /** The hash as the node has it, of the digest of the state without secrets. */
  complete(index: number, digest: Digest): string {
    return digestText(addDigest(digest, this.#at(index)))
  }

  /** The other way round. */
  without(index: number, hash: string): string {
    return digestText(subtractDigest(parseDigest(hash), this.#at(index)))
  }

  #at(index: number): Digest {
    const correction = this.#corrections[index - this.#first]
    if (correction === undefined) throw new RangeError(`the bundle knows nothing of index ${index}`)
    return correction
  }
}

function parseDigest(hash: string): Digest {
  return { high: Number.parseInt(hash.slice(0, 8), 16), low: Number.parseInt(hash.slice(8), 16) }
}

/** A disk that holds the base and the log, committed up to `commit`. */
export function diskOf(bundle: Bundle, commit: number): SimDisk {
  const { base, records, entries } = bundle
  const disk = new SimDisk({ random: new SimRandom(1) })
  const { index, term, timeMs, configuration } = base
  disk.state = { head: { index, term, timeMs, hash: new Corrections(bundle).without(index, base.hash) }, records: new Map(records.map(({ table, id, value }) => [`${table}/${id}`, JSON.stringify(value)])) }
  const log = entries.map(entryOf)
  const last = log.at(-1)
  disk.log = { hardState: { term: last?.term ?? term, vote: null, commit }, base: { index, term, configuration }, entries: log, bytes: 0 }
  return disk
}

function entryOf({ index, term, timeMs, content }: BundleEntry): Entry {
  const make = (kind: Entry['kind'], data: Uint8Array): Entry => ({ index, term, kind, data })
  switch (content.kind) {
    case 'config':
      return make('config', Buffer.from(content.data, 'base64'))
    case 'command':
      return make('normal', encodeEntryData(timeMs ?? 0, commandOf(content.command)))
    case 'empty':
      return make('normal', new Uint8Array())
    // Its hash counts secrets that are not here: what it says is compared by the replay. Its stamp is applied all the same.
    case 'checkpoint':
    case 'ignorable':
    case 'unknown':
      return make('normal', stamped(timeMs ?? 0, { id: nobody, actor: { kind: 'system', id: '', name: '', address: '' }, type: 'ignorable.replayed', payload: null }))
  }
}

const nobody = '00000000-0000-7000-8000-000000000000'

function stamped(timeMs: number, value: unknown): Uint8Array {
  const json = Buffer.from(JSON.stringify(value))
  const data = Buffer.alloc(8 + json.length)
  data.writeBigUInt64BE(BigInt(Math.trunc(timeMs)))
  json.copy(data, 8)
  return data
}

export function commandOf(command: unknown): Command {
  return parseCommand(command)
}
