// The bytes of a configuration change inside a log entry; hand-written, since pure rooms have no TextEncoder.
import { assertRaft } from './assertion.ts'
import type { ConfChange, ConfChangeStep } from './types.ts'

// Append-only: a position in these tables is the number on disk and on the wire.
const transitions = ['auto', 'simple', 'implicit', 'explicit'] as const
const stepKinds = ['addVoter', 'addLearner', 'remove'] as const
const formatVersion = 1
const stepsMax = 0xff
const idBytesMax = 0xffff

/**
 * Layout: version u8, transition u8, step count u8, then per step kind u8, id length u16, id in UTF-8, then context presence u8 and,
 * to the end, the context. Throws `RaftAssertion` beyond 255 steps or 65,535 bytes of id.
 */
export function encodeConfChange(change: ConfChange): Uint8Array {
  assertRaft(change.steps.length <= stepsMax, 'too many steps in one change')
  const bytes: number[] = [formatVersion, transitions.indexOf(change.transition), change.steps.length]
  for (const step of change.steps) {
    const id = encodeUtf8(step.id)
    assertRaft(id.length > 0 && id.length <= idBytesMax, 'an id is 1 to 65,535 bytes')
    bytes.push(stepKinds.indexOf(step.kind), id.length >> 8, id.length & 0xff, ...id)
  }
  bytes.push(change.context === undefined ? 0 : 1)
  const context = change.context ?? new Uint8Array(0)
  const encoded = new Uint8Array(bytes.length + context.length)
  encoded.set(bytes)
  encoded.set(context, bytes.length)
  return encoded
}

/** The inverse of `encodeConfChange`; no bytes at all mean "leave the joint configuration". Throws `RaftAssertion` on damage. */
export function decodeConfChange(bytes: Uint8Array): ConfChange {
  if (bytes.length === 0) return { transition: 'auto', steps: [] }
  let at = 0
  const next = (): number => {
    const byte = bytes[at]
    assertRaft(byte !== undefined, 'a configuration change is cut short')
    at += 1
    return byte
  }
  assertRaft(next() === formatVersion, 'unknown version of a configuration change')
  const transition = transitions[next()]
  assertRaft(transition !== undefined, 'unknown transition')
  const steps: ConfChangeStep[] = []
  for (let left = next(); left > 0; left -= 1) {
    const kind = stepKinds[next()]
    assertRaft(kind !== undefined, 'unknown step')
    const length = (next() << 8) | next()
    assertRaft(at + length <= bytes.length, 'a configuration change is cut short')
    steps.push({ kind, id: decodeUtf8(bytes.subarray(at, at + length)) })
    at += length
  }
  if (next() === 0) {
    assertRaft(at === bytes.length, 'bytes behind a configuration change')
    return { transition, steps }
  }
  return { transition, steps, context: bytes.slice(at) }
}

function encodeUtf8(text: string): number[] {
  const bytes: number[] = []
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0
    if (point < 0x80) bytes.push(point)
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f))
    else if (point < 0x1_0000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f))
    else bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f))
  }
  return bytes
}

function decodeUtf8(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0
    assertRaft(first < 0x80 || first >= 0xc0, 'an id is not UTF-8')
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    let point = length === 1 ? first : first & (0xff >> (length + 1))
    for (let offset = 1; offset < length; offset += 1) {
      const byte = bytes[at + offset]
      assertRaft(byte !== undefined && (byte & 0xc0) === 0x80, 'an id is not UTF-8')
      point = (point << 6) | (byte & 0x3f)
    }
    assertRaft(point <= 0x10_ffff, 'an id is not UTF-8')
    text += String.fromCodePoint(point)
    at += length
  }
  return text
}
