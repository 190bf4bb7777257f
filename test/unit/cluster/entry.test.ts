// A command's way into a log entry and back.
import { describe, expect, it } from 'vitest'
import { decodeEntryData, encodeEntryData } from '../../../src/cluster/entry.ts'
import { revokeSession } from './command.ts'

const encode = (json: unknown): Uint8Array => {
  const text = new TextEncoder().encode(JSON.stringify(json))
  return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 9, ...text])
}

describe('entry', () => {
  it('stamps eight bytes big-endian, then the command as JSON', () => {
    const command = revokeSession('s1')
    const data = encodeEntryData(0x0102_0304_0506, command)
    expect([...data.subarray(0, 8)]).toEqual([0, 0, 1, 2, 3, 4, 5, 6])
    expect(JSON.parse(new TextDecoder().decode(data.subarray(8)))).toEqual(command)
    expect(decodeEntryData(data)).toEqual({ kind: 'command', timeMs: 0x0102_0304_0506, command })
  })

  it('tells an unknown type from one that may be skipped', () => {
    const command = revokeSession('s1')
    expect(decodeEntryData(encode({ ...command, type: 'vm.teleport' })).kind).toBe('unknown')
    expect(decodeEntryData(encode({ ...command, type: 'ignorable.hint' }))).toEqual({ kind: 'ignorable', timeMs: 9, type: 'ignorable.hint' })
  })

  it.each([
    ['nothing', new Uint8Array(0)],
    ['a cut stamp', new Uint8Array(7)],
    ['no JSON', Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 1, 0x7b])],
    ['no UTF-8', Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xfe])],
    ['no command', encode([1, 2])],
    ['a payload of another shape', encode({ ...revokeSession('s1'), payload: { id: 7 } })],
  ])('never throws: %s is unknown', (_name, data) => {
    expect(decodeEntryData(data).kind).toBe('unknown')
  })
})
