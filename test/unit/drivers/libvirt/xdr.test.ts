// XDR: what is written is read again, padding and all, and hostile lengths are refused.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { XdrError, XdrReader, XdrWriter } from '../../../../src/drivers/libvirt/xdr.ts'

describe('XDR', () => {
  it('reads back what it wrote, in words of four bytes', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ kind: fc.constant('int' as const), value: fc.integer() }),
            fc.record({ kind: fc.constant('uint' as const), value: fc.nat() }),
            fc.record({ kind: fc.constant('uhyper' as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
            fc.record({ kind: fc.constant('string' as const), value: fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()) }),
            fc.record({ kind: fc.constant('maybeString' as const), value: fc.option(fc.string({ unit: 'grapheme' }).map((text) => text.toWellFormed())) }),
          ),
        ),
        (items) => {
          const writer = new XdrWriter(4)
          for (const item of items) (writer[item.kind] as (value: unknown) => void).call(writer, item.value)
          const bytes = writer.finish()
          expect(bytes.length % 4).toBe(0)
          const reader = new XdrReader(bytes)
          for (const item of items) expect(reader[item.kind]()).toEqual(item.value)
          expect(reader.remaining).toBe(0)
        },
      ),
    )
  })

  it('is the protocol of RFC 4506', () => {
    const writer = new XdrWriter()
    writer.string('abcde')
    writer.int(-1)
    expect(writer.finish().toString('hex')).toBe('000000056162636465000000ffffffff')
  })

  it.each([
    ['a word cut short', '0000', (reader: XdrReader) => reader.uint()],
    ['a string longer than the message', '0000000561626364', (reader: XdrReader) => reader.string()],
    ['a string of four gigabytes', 'ffffffff', (reader: XdrReader) => reader.string()],
    ['an array longer than the message', '00ffffff00000000', (reader: XdrReader) => reader.array(() => reader.uint())],
    ['an array of four billion', 'ffffffff', (reader: XdrReader) => reader.array(() => reader.uint())],
  ])('refuses %s', (_, hex, read) => {
    expect(() => read(new XdrReader(Buffer.from(hex, 'hex')))).toThrow(XdrError)
  })
})
