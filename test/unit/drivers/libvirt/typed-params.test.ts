// Typed parameters as they stand on the wire.
import { describe, expect, it } from 'vitest'
import { readTypedParams, writeTypedParams } from '../../../../src/drivers/libvirt/typed-params.ts'
import { XdrError, XdrReader, XdrWriter } from '../../../../src/drivers/libvirt/xdr.ts'

describe('typed parameters', () => {
  it('are written as the protocol wants them, and read back', () => {
    const writer = new XdrWriter(1)
    writeTypedParams(writer, [
      { name: 'bandwidth', value: { kind: 'ullong', value: 2n ** 40n } },
      { name: 'disk', value: { kind: 'string', value: 'vda' } },
      { name: 'n', value: { kind: 'int', value: -1 } },
    ])
    const bytes = writer.finish()
    expect(bytes.subarray(0, 24).toString('hex')).toBe('000000030000000962616e64776964746800000000000004')
    expect(Object.fromEntries(readTypedParams(new XdrReader(bytes)))).toEqual({ bandwidth: 2n ** 40n, disk: 'vda', n: -1 })
  })

  it('are read in all their types', () => {
    const writer = new XdrWriter()
    writer.uint(4)
    writer.string('u')
    writer.int(2)
    writer.uint(0xffff_ffff)
    writer.string('l')
    writer.int(3)
    writer.hyper(-5n)
    writer.string('d')
    writer.int(5)
    writer.double(0.25)
    writer.string('b')
    writer.int(6)
    writer.int(1)
    expect(Object.fromEntries(readTypedParams(new XdrReader(writer.finish())))).toEqual({ u: 0xffff_ffff, l: -5n, d: 0.25, b: 1 })
  })

  it('of an unknown type are refused', () => {
    const writer = new XdrWriter()
    writer.uint(1)
    writer.string('x')
    writer.int(8)
    expect(() => readTypedParams(new XdrReader(writer.finish()))).toThrow(XdrError)
  })
})
