// What a JSON value is apart from the order its members were written in: whether two are equal, and a small digest.

/** Whether two JSON values are the same, members that are undefined left aside. */
export function sameValue(left: unknown, right: unknown): boolean {
  if (left === right) return true
  if (left === null || right === null || typeof left !== 'object' || typeof right !== 'object') return false
  if (Array.isArray(left) || Array.isArray(right)) {
    return Array.isArray(left) && Array.isArray(right) && left.length === right.length && left.every((item, at) => sameValue(item, right[at]))
  }
  const [one, other] = [left as Readonly<Record<string, unknown>>, right as Readonly<Record<string, unknown>>]
  for (const key in one) if (!sameValue(one[key], Object.hasOwn(other, key) ? other[key] : undefined)) return false
  for (const key in other) if (other[key] !== undefined && !Object.hasOwn(one, key)) return false
  return true
}

/** Rises with every change of what `digestOf` comes to for any value: hashes of nodes with another one are not compared. */
export const digestVersion = 1

/** Two independent 32-bit lanes; addition of lanes makes a hash of a multiset. */
export type Digest = { readonly high: number; readonly low: number }
export const emptyDigest: Digest = { high: 0, low: 0 }

/** Of a JSON value, whatever order its members have; undefined members do not count. Against faults, not against adversaries. */
export function digestOf(value: unknown): Digest {
  takeLanes(value)
  return { high: lanes[0]!, low: lanes[1]! }
}

const seeds = { high: 0x9e3779b9, low: 0x85ebca6b } as const
const kinds = { nothing: 1, no: 2, yes: 3, number: 4, text: 5, list: 6, members: 7 } as const
const number = new DataView(new ArrayBuffer(8))
/** Both lanes of the value that was last looked at: looking once for both takes half the time, and no value needs an object for its two. */
const lanes = new Uint32Array(2)

function takeLanes(value: unknown): void {
  if (typeof value === 'string') return takeText(value)
  if (typeof value === 'number') {
    // Zero has one sign in JSON.
    number.setFloat64(0, value === 0 ? 0 : value)
    const [first, second] = [number.getInt32(0), number.getInt32(4)]
    return finishBoth(mix(mix(seeds.high ^ kinds.number, first), second), mix(mix(seeds.low ^ kinds.number, first), second))
  }
  if (value === null || typeof value !== 'object') {
    const kind = value === true ? kinds.yes : value === false ? kinds.no : kinds.nothing
    return finishBoth(seeds.high ^ kind, seeds.low ^ kind)
  }
  if (Array.isArray(value)) takeList(value)
  else takeMembers(value as Readonly<Record<string, unknown>>)
}

function takeList(list: readonly unknown[]): void {
  let high = seeds.high ^ kinds.list
  let low = seeds.low ^ kinds.list
  for (const item of list) {
    takeLanes(item)
    high = mix(high, lanes[0]!)
    low = mix(low, lanes[1]!)
  }
  finishBoth(high ^ list.length, low ^ list.length)
}

/** A sum, so that the order of members is of no matter. */
function takeMembers(record: Readonly<Record<string, unknown>>): void {
  let high = seeds.high ^ kinds.members
  let low = seeds.low ^ kinds.members
  for (const key in record) {
    const member = record[key]
    if (member === undefined) continue
    takeText(key)
    const keyHigh = lanes[0]!
    const keyLow = lanes[1]!
    takeLanes(member)
    high = (high + finish(mix(keyHigh, lanes[0]!))) | 0
    low = (low + finish(mix(keyLow, lanes[1]!))) | 0
  }
  finishBoth(high, low)
}

function takeText(text: string): void {
  let high = seeds.high ^ kinds.text
  let low = seeds.low ^ kinds.text
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    high = Math.imul(high ^ code, 0x01000193) ^ (high >>> 15)
    low = Math.imul(low ^ code, 0x01000193) ^ (low >>> 15)
  }
  finishBoth(high ^ text.length, low ^ text.length)
}

function finishBoth(high: number, low: number): void {
  lanes[0] = finish(high)
  lanes[1] = finish(low)
}

function mix(lane: number, value: number): number {
  return Math.imul((lane << 13) | (lane >>> 19), 5) + Math.imul(value, 0xcc9e2d51) + 0xe6546b64 | 0
}

/** Murmur3's finaliser. */
function finish(value: number): number {
  let mixed = value
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

export function addDigest(left: Digest, right: Digest): Digest {
  return { high: (left.high + right.high) >>> 0, low: (left.low + right.low) >>> 0 }
}

export function subtractDigest(left: Digest, right: Digest): Digest {
  return { high: (left.high - right.high) >>> 0, low: (left.low - right.low) >>> 0 }
}

export function digestText(digest: Digest): string {
  return digest.high.toString(16).padStart(8, '0') + digest.low.toString(16).padStart(8, '0')
}
