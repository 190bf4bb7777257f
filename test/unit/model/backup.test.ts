// The frames of a backup: whatever is altered, missing, moved or newer is told.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { BackupDecoder, beginBackup, encodeFrame, frameKinds, parseBackupHeader, type Frame, type FrameKind } from '../../../src/model/backup.ts'

const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const frames: readonly Frame[] = (['header', 'records', 'records', 'secrets', 'end'] as const).map((kind, at) => ({ kind, payload: Buffer.from(JSON.stringify({ kind, at, text: 'x'.repeat(40 * at) })) }))

function encode(given: readonly Frame[]): { readonly file: Uint8Array; readonly check: string } {
  const begun = beginBackup(sha256Hex)
  const parts = [begun.bytes]
  let { check } = begun
  for (const frame of given) {
    const encoded = encodeFrame(frame, check, sha256Hex)
    parts.push(encoded.bytes)
    check = encoded.check
  }
  return { file: Buffer.concat(parts), check }
}

/** Kinds of the frames, or the code of the fault. */
function read(file: Uint8Array, pieceBytes = 7): readonly FrameKind[] | string {
  const decoder = new BackupDecoder(sha256Hex)
  try {
    const kinds: FrameKind[] = []
    for (let at = 0; at < file.length; at += pieceBytes) kinds.push(...decoder.push(file.subarray(at, at + pieceBytes)).map(({ kind }) => kind))
    decoder.end()
    return kinds
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a file', () => {
  const { file, check } = encode(frames)
  test.each([1, 7, 64, 100_000])('is read in pieces of %d bytes', (pieceBytes) => {
    expect(read(file, pieceBytes)).toEqual(['header', 'records', 'records', 'secrets', 'end'])
  })
  test('has a check of the whole', () => {
    const decoder = new BackupDecoder(sha256Hex)
    const read = decoder.push(file)
    expect(read.map(({ payload }) => Buffer.from(payload).toString())).toEqual(frames.map(({ payload }) => Buffer.from(payload).toString()))
    expect(decoder.end()).toBe(check)
    expect(decoder.bytes).toBe(file.length)
  })
  test('with any byte flipped is damaged', () => {
    for (let at = 0; at < file.length; at++) {
      const altered = Uint8Array.from(file)
      altered[at]! ^= 0x10
      expect(['BACKUP_DAMAGED', 'BACKUP_NEWER'], `byte ${at}`).toContain(read(altered, 64))
    }
  })
  test('cut short anywhere is damaged', () => {
    for (let length = 0; length < file.length; length++) expect(read(file.subarray(0, length), 64), `${length} bytes`).toBe('BACKUP_DAMAGED')
  })
  test('with something behind its end is damaged', () => {
    expect(read(Buffer.concat([file, Buffer.from('more bytes')]))).toBe('BACKUP_DAMAGED')
  })
  test('with frames in another order, or left out, is damaged', () => {
    const cut = (kinds: readonly number[]) => encode(kinds.map((at) => frames[at]!)).file
    expect(read(cut([1, 0, 4]))).toBe('BACKUP_DAMAGED')
    expect(read(cut([0, 0, 4]))).toBe('BACKUP_DAMAGED')
    // Of two intact files: the check of a frame counts only behind the one that it was made behind.
    const whole = Buffer.from(file)
    const lengths = frames.map(({ payload }) => payload.length + 37)
    const start = (at: number) => 16 + lengths.slice(0, at).reduce((sum, length) => sum + length, 0)
    expect(read(Buffer.concat([whole.subarray(0, start(1)), whole.subarray(start(2))]))).toBe('BACKUP_DAMAGED')
  })
})

describe('a newer file', () => {
  test('by its format', () => {
    expect(() => parseBackupHeader(JSON.stringify({ format: 3, anything: true }))).toThrow(expect.objectContaining({ code: 'BACKUP_NEWER' }))
    expect(() => parseBackupHeader(JSON.stringify({ format: 1, anything: true }))).toThrow(expect.objectContaining({ code: 'BACKUP_DAMAGED' }))
  })
  test('by a kind of frame', () => {
    expect(Math.max(...Object.values(frameKinds))).toBe(4)
    const { bytes } = beginBackup(sha256Hex)
    const head = Buffer.from([0, 0, 0, 0, 9])
    const check = Buffer.from(sha256Hex(Buffer.concat([Buffer.from(sha256Hex(bytes), 'hex'), head])), 'hex')
    expect(read(Buffer.concat([bytes, head, check]))).toBe('BACKUP_NEWER')
  })
})

describe('a header that anybody may have written', () => {
  const header = {
    format: 1, version: '0.1.0', featureLevel: 2, clusterId: '01890a5d-ac96-774b-bcce-000000000001', clusterName: 'lab', node: 'n1', createdAt: '2026-01-02T03:04:05.006Z',
    index: 9, term: 2, timeMs: 1_790_000_000_000.5, hash: '0123456789abcdef', passphrase: { function: 'argon2id', memoryKib: 65_536, passes: 3, parallelism: 4, salt: 'MDEyMzQ1Njc4OWFiY2-_' },
  }
  const code = (changes: object) => {
    try {
      parseBackupHeader(JSON.stringify({ ...header, ...changes }))
      return 'fine'
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  test('is taken as it is written', () => {
    expect(code({})).toBe('fine')
    expect(code({ passphrase: null })).toBe('fine')
  })
  test.each<readonly [string, object]>([
    ['a name that ends a file name', { clusterName: 'lab"\r\nX: y' }],
    ['a name without an end', { clusterName: 'a'.repeat(64) }],
    ['a node that is no name', { node: '../n1' }],
    ['an id that is none', { clusterId: 'lab' }],
    ['a time that is none', { createdAt: 'yesterday' }],
    ['a version without an end', { version: '1'.repeat(65) }],
    ['a time beyond all dates', { timeMs: 1e15 }],
    ['a time before all', { timeMs: -1 }],
    ['an index that cannot be counted on from', { index: 2 ** 53 - 1 }],
    ['a term that cannot be counted on from', { term: 2 ** 53 - 1 }],
    ['a negative term', { term: -1 }],
    ['a hash that is none', { hash: 'x' }],
    ['less memory than lanes need (RFC 9106)', { passphrase: { ...header.passphrase, memoryKib: 31 } }],
    ['a salt that is not base64url', { passphrase: { ...header.passphrase, salt: 'MDEyMzQ1Njc4OWFiY2+/' } }],
  ])('is damaged by %s', (_what, changes) => {
    expect(code(changes)).toBe('BACKUP_DAMAGED')
  })
})

test('something else is no backup', () => {
  expect(read(Buffer.from('{"format":1}'))).toBe('BACKUP_DAMAGED')
  expect(read(new Uint8Array())).toBe('BACKUP_DAMAGED')
})
