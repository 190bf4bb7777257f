// Reads that name the index of the state they came from: a local read may be old, but never older than it says, nor made of something that was never written.
import type { RegisterOperation } from './register.ts'

/** What a node answered to one read, and the index that it said (`Novacron-Index`). Times are of the history's clock. */
export type IndexedRead = {
  readonly node: string
  /** One life of the node's process: within it the index never falls. */
  readonly life: string
  readonly register: string
  readonly call: number
  readonly return: number
  readonly index: number
  /** Null: there is no such resource. */
  readonly found: { readonly value: string; readonly revision: number } | null
  /** Asked for as linearizable. */
  readonly consistent: boolean
  /** Asked for: at least this index. */
  readonly minIndex: number | null
}
type Version = { readonly revision: number; readonly value: string | null }

/** Faults in words, at most `faultsMax`; none if all is well. Revisions are log indexes. */
export function checkIndexedReads(history: readonly RegisterOperation[], reads: readonly IndexedRead[]): readonly string[] {
  const versions = versionsOf(history, reads)
  const faults: string[] = []
  for (const read of reads) {
    const fault = faultOf(read, versions.get(read.register) ?? [])
    if (fault !== null) faults.push(`${show(read)}: ${fault}`)
  }
  return [...faults, ...fallingIndexes(reads), ...lateIndexes(history, reads)].slice(0, faultsMax)
}
const faultsMax = 20

function faultOf(read: IndexedRead, versions: readonly Version[]): string | null {
  const { found, index, minIndex } = read
  if (minIndex !== null && index < minIndex) return `index ${minIndex} was asked for`
  // The index is taken before the read: what is read may be newer, not older.
  const due = versions.findLast(({ revision }) => revision <= index)
  if (due !== undefined && (found?.revision ?? 0) < due.revision) return `at that index it was ${due.value ?? 'gone'} at revision ${due.revision}`
  const same = versions.find(({ revision }) => revision === found?.revision)
  if (same !== undefined && found !== null && same.value !== null && same.value !== found.value) return `others saw ${same.value} at that revision`
  return null
}

/** Of each register, by revision. Of registers that are deleted nobody is told at which index, so those are not to be read here. */
function versionsOf(history: readonly RegisterOperation[], reads: readonly IndexedRead[]): ReadonlyMap<string, readonly Version[]> {
  const known = new Map<string, Map<number, string>>()
  const add = (register: string, revision: number, value: string) => {
    const of = known.get(register) ?? new Map<number, string>()
    if (!of.has(revision)) of.set(revision, value)
    known.set(register, of)
  }
  for (const { input, output } of history) {
    if (output?.kind === 'found') add(input.register, output.revision, output.value)
    if (output?.kind === 'done' && output.revision !== null && 'value' in input) add(input.register, output.revision, input.value)
  }
  for (const { register, found } of reads) if (found !== null) add(register, found.revision, found.value)
  return new Map([...known].map(([register, of]) => [register, [...of].map(([revision, value]) => ({ revision, value })).toSorted((left, right) => left.revision - right.revision)]))
}

function fallingIndexes(reads: readonly IndexedRead[]): readonly string[] {
  const lives = Map.groupBy(reads, ({ life }) => life)
  return [...lives.values()].flatMap((ofLife) => {
    const byEnd = ofLife.toSorted((left, right) => left.return - right.return)
    const faults: string[] = []
    let [at, highest] = [0, null as IndexedRead | null]
    for (const read of ofLife.toSorted((left, right) => left.call - right.call)) {
      for (; byEnd[at] !== undefined && byEnd[at]!.return < read.call; at += 1) if (highest === null || byEnd[at]!.index > highest.index) highest = byEnd[at]!
      if (highest !== null && read.index < highest.index) faults.push(`${show(read)}: the same process had answered from ${highest.index} before`)
    }
    return faults
  })
}

/** Across all registers: a consistent read is of a state that holds every write acknowledged before it began. */
function lateIndexes(history: readonly RegisterOperation[], reads: readonly IndexedRead[]): readonly string[] {
  const acknowledged = history
    .flatMap(({ return: end, output }) => (end !== null && output?.kind === 'done' && output.revision !== null ? [{ end, revision: output.revision }] : []))
    .toSorted((left, right) => left.end - right.end)
  const faults: string[] = []
  let [at, highest] = [0, 0]
  for (const read of reads.filter(({ consistent }) => consistent).toSorted((left, right) => left.call - right.call)) {
    for (; acknowledged[at] !== undefined && acknowledged[at]!.end < read.call; at += 1) highest = Math.max(highest, acknowledged[at]!.revision)
    if (read.index < highest) faults.push(`${show(read)}: a write at ${highest} had been acknowledged before it began`)
  }
  return faults
}

function show({ node, register, call, return: end, index, found, consistent }: IndexedRead): string {
  return `[${call}, ${end}] ${consistent ? 'consistent' : 'local'} read of ${register} at ${node} → ${found === null ? 'absent' : `${found.value} at ${found.revision}`}, from index ${index}`
}
