// Raft messages as bytes: a hand-written binary form, decoded strictly, because a peer's bytes are outside data.
import type { Configuration, Entry, Message, SnapshotMeta } from '../raft/types.ts'
import { BinaryReader, type BinaryWriter } from './binary.ts'
import { Malformed } from './malformed.ts'

/** One encoded Raft message, without snapshot data, is at most this long. */
export const messageBytesMax = 16 * 1024 * 1024
const idBytesMax = 255
const contextBytesMax = 4096
const entriesMax = 100_000
const idsMax = 1024
/** Terms and indexes are 48 bits wide in the log: one that is larger could be taken in, but never be written. */
const ordinalMax = 2 ** 48 - 1

/** Append only: a number's meaning never changes. */
const kinds = [
  'vote', 'preVote', 'voteResponse', 'preVoteResponse', 'append', 'appendResponse', 'heartbeat', 'heartbeatResponse',
  'snapshot', 'timeoutNow', 'transferLeader', 'readIndex', 'readIndexResponse', 'forget',
] as const satisfies readonly Message['kind'][]
const numberOfKind = new Map<Message['kind'], number>(kinds.map((kind, number) => [kind, number]))

/** An estimate from above of the encoded length, in bytes, snapshot data excluded; cheap enough to bound queues with. */
export function messageBytes(message: Message): number {
  let bytes = 128
  if (message.kind === 'append') for (const entry of message.entries) bytes += entry.data.length + 24
  return bytes
}

/** Appends the message to the writer. A snapshot's data is left out: it travels in chunks of its own. */
export function encodeMessage(message: Message, writer: BinaryWriter): void {
  writer.byte(numberOfKind.get(message.kind)!)
  writer.text(message.from)
  writer.text(message.to)
  writer.varint(message.term)
  switch (message.kind) {
    case 'vote':
    case 'preVote':
      writer.varint(message.lastIndex)
      writer.varint(message.lastTerm)
      return writer.boolean(message.transfer)
    case 'voteResponse':
    case 'preVoteResponse':
      return writer.boolean(message.reject)
    case 'append':
      return encodeAppend(message, writer)
    case 'appendResponse':
      writer.varint(message.index)
      writer.boolean(message.reject)
      writer.varint(message.hintIndex)
      return writer.varint(message.hintTerm)
    case 'heartbeat':
      writer.varint(message.commit)
      writer.text(message.context)
      // Left out where there is none: a peer of before lease reads knows no such number.
      return (message.leaseMs ?? 0) === 0 ? undefined : writer.varint(message.leaseMs ?? 0)
    case 'heartbeatResponse':
      writer.text(message.context)
      // Left out where there is none: a peer of before lease reads knows no such byte.
      return message.promise ? writer.boolean(true) : undefined
    case 'readIndex':
      return writer.text(message.context)
    case 'snapshot':
      return encodeSnapshotMeta(message.snapshot, writer)
    case 'transferLeader':
      return writer.text(message.transferee)
    case 'readIndexResponse':
      writer.text(message.context)
      writer.varint(message.index)
      return writer.boolean(message.reject)
    case 'timeoutNow':
    case 'forget':
      return
    default:
      return message satisfies never
  }
}

/**
 * Decodes exactly one message. A snapshot comes back with empty data.
 * @throws Malformed on anything that `encodeMessage` would not have written
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new BinaryReader(bytes)
  const kind = kinds[reader.byte()]
  if (kind === undefined) throw new Malformed('the message is of an unknown kind')
  const envelope = { from: reader.text(idBytesMax), to: reader.text(idBytesMax), term: ordinal(reader) }
  const message = decodeBody(kind, envelope, reader)
  reader.end()
  return message
}

function decodeBody(kind: Message['kind'], envelope: { from: string; to: string; term: number }, reader: BinaryReader): Message {
  switch (kind) {
    case 'vote':
    case 'preVote':
      return { ...envelope, kind, lastIndex: ordinal(reader), lastTerm: ordinal(reader), transfer: reader.boolean() }
    case 'voteResponse':
    case 'preVoteResponse':
      return { ...envelope, kind, reject: reader.boolean() }
    case 'append':
      return { ...envelope, kind, ...decodeAppend(envelope.term, reader) }
    case 'appendResponse':
      return { ...envelope, kind, index: ordinal(reader), reject: reader.boolean(), hintIndex: ordinal(reader), hintTerm: ordinal(reader) }
    case 'heartbeat': {
      const [commit, context] = [ordinal(reader), reader.text(contextBytesMax)]
      return { ...envelope, kind, commit, context, ...(reader.remaining === 0 ? {} : { leaseMs: leaseOf(reader) }) }
    }
    case 'heartbeatResponse':
      return { ...envelope, kind, context: reader.text(contextBytesMax), promise: promiseOf(reader) }
    case 'readIndex':
      return { ...envelope, kind, context: reader.text(contextBytesMax) }
    case 'snapshot':
      return { ...envelope, kind, snapshot: { ...decodeSnapshotMeta(reader), data: new Uint8Array(0) } }
    case 'transferLeader':
      return { ...envelope, kind, transferee: reader.text(idBytesMax) }
    case 'readIndexResponse':
      return { ...envelope, kind, context: reader.text(contextBytesMax), index: ordinal(reader), reject: reader.boolean() }
    case 'timeoutNow':
    case 'forget':
      return { ...envelope, kind }
    default:
      return kind satisfies never
  }
}

function encodeAppend(message: Extract<Message, { kind: 'append' }>, writer: BinaryWriter): void {
  writer.varint(message.prevIndex)
  writer.varint(message.prevTerm)
  writer.varint(message.commit)
  writer.varint(message.entries.length)
  for (const entry of message.entries) {
    writer.varint(entry.index)
    writer.varint(entry.term)
    writer.boolean(entry.kind === 'config')
    writer.blob(entry.data)
  }
}

/** Terms never fall along a log, and none is above its leader's: entries of another kind would break the receiver's log, not the sender's. */
function decodeAppend(leaderTerm: number, reader: BinaryReader): { prevIndex: number; prevTerm: number; commit: number; entries: Entry[] } {
  const prevIndex = ordinal(reader)
  const prevTerm = ordinal(reader)
  const commit = ordinal(reader)
  const count = reader.varint()
  if (count > entriesMax) throw new Malformed('an append has too many entries')
  const entries: Entry[] = []
  let lastTerm = prevTerm
  for (let at = 1; at <= count; at++) {
    const index = ordinal(reader)
    if (index !== prevIndex + at) throw new Malformed('the entries of an append do not follow each other')
    const term = ordinal(reader)
    if (term < lastTerm || term > leaderTerm) throw new Malformed('the terms of an append are in no order')
    lastTerm = term
    const kind = reader.boolean() ? 'config' : 'normal'
    entries.push({ index, term, kind, data: reader.blob(messageBytesMax) })
  }
  return { prevIndex, prevTerm, commit, entries }
}

function encodeSnapshotMeta(snapshot: SnapshotMeta, writer: BinaryWriter): void {
  writer.varint(snapshot.index)
  writer.varint(snapshot.term)
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = snapshot.configuration
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    writer.varint(ids.length)
    for (const id of ids) writer.text(id)
  }
  writer.boolean(autoLeave)
}

function decodeSnapshotMeta(reader: BinaryReader): SnapshotMeta {
  const index = ordinal(reader)
  const term = ordinal(reader)
  const ids = (): readonly string[] => {
    const count = reader.varint()
    if (count > idsMax) throw new Malformed('a configuration has too many members')
    return Array.from({ length: count }, () => reader.text(idBytesMax))
  }
  const configuration: Configuration = {
    voters: ids(), votersOutgoing: ids(), learners: ids(), learnersNext: ids(), autoLeave: reader.boolean(),
  }
  return { index, term, configuration }
}

/** At the end, and only where it was given. */
function promiseOf(reader: BinaryReader): boolean {
  if (reader.remaining === 0) return false
  if (!reader.boolean()) throw new Malformed('a promise that is none was sent')
  return true
}

function leaseOf(reader: BinaryReader): number {
  const leaseMs = ordinal(reader)
  if (leaseMs === 0) throw new Malformed('a lease that is none was sent')
  return leaseMs
}

/** A term or an index. */
function ordinal(reader: BinaryReader): number {
  const value = reader.varint()
  if (value > ordinalMax) throw new Malformed('a term or an index is too big')
  return value
}
