// Canonical JSON and a small digest, so that equal states have equal hashes whatever order keys were written in.

/** JSON with sorted keys and without undefined members. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const record = value as Record<string, unknown>
    const members = Object.keys(record)
      .filter((key) => record[key] !== undefined)
      .toSorted()
      .map((key) => `${JSON.stringify(key)}:${canonicalJson(record[key])}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

/** Two independent 32-bit lanes; addition of lanes makes a hash of a multiset. */
export type Digest = { readonly high: number; readonly low: number }
export const emptyDigest: Digest = { high: 0, low: 0 }

/** Multiply-xor digest of a text (murmur3's finaliser, two seeds). Against faults, not against adversaries. */
export function digestOf(text: string): Digest {
  let high = 0x9e3779b9
  let low = 0x85ebca6b
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    high = Math.imul(high ^ code, 0x01000193)
    low = Math.imul(low ^ code, 0x5bd1e995)
    low ^= low >>> 13
  }
  return { high: finish(high ^ text.length), low: finish(low ^ high) }
}

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
