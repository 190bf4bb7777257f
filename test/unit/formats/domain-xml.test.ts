// Domain XML: valid by libvirt's own schema for every kind of spec, safe with hostile text, and read back as it was written.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { XMLParser } from 'fast-xml-parser'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { escapeXml, parseDomainMetadata, parseScreenSocket, renderDomainXml, type DomainType } from '../../../src/formats/domain-xml.ts'
import { OperationalError } from '../../../src/model/error.ts'
import { domainDigest } from '../../../src/ports/domain-digest.ts'
import type { DomainSpec } from '../../../src/ports/hypervisor.ts'

const directory = mkdtempSync(join(tmpdir(), 'novacron-xml-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const base: DomainSpec = {
  id: '0198c0de-0000-7000-8000-00000000abcd', domainName: 'web.0000abcd', title: 'web', epoch: 3, cpus: 2, memoryMiB: 256, firmware: 'bios',
  disks: [{ name: 'root', path: '/var/lib/novacron/volumes/x/root.qcow2', format: 'qcow2', bus: 'virtio', readOnly: false }],
  seedPath: '/var/lib/novacron/volumes/x/seed.iso', nics: [{ network: 'nat', mac: '52:54:00:00:00:01' }],
}
const specs: readonly (readonly [string, DomainSpec])[] = [
  ['an ordinary one', base],
  ['nothing but memory', { ...base, disks: [], nics: [], seedPath: null, title: '' }],
  ['UEFI', { ...base, firmware: 'uefi' }],
  ['every bus', { ...base, disks: (['virtio', 'scsi', 'sata', 'scsi'] as const).map((bus, index) => ({ ...base.disks[0]!, name: `disk-${index}`, bus, format: index % 2 === 0 ? 'raw' : 'qcow2', readOnly: index === 3 })) }],
  ['thirty-two disks', { ...base, disks: Array.from({ length: 32 }, (_, index) => ({ ...base.disks[0]!, name: `disk-${index}` })) }],
  ['hostile text', { ...base, title: `</title><os>"'&amp;\u0000\u001b]]>\n\ttwo`, disks: [{ ...base.disks[0]!, path: `/a&b/<c>'d".qcow2` }] }],
]

describe('renderDomainXml', () => {
  for (const type of ['qemu', 'kvm'] as const) {
    it.each(specs)(`is valid for ${type}: %s`, (_, spec) => {
      const file = join(directory, 'domain.xml')
      writeFileSync(file, renderDomainXml(spec, type))
      expect(() => execFileSync('virt-xml-validate', [file, 'domain'], { stdio: 'pipe' })).not.toThrow()
    })
  }

  it('the validation bites', () => {
    const file = join(directory, 'broken.xml')
    writeFileSync(file, renderDomainXml(base, 'qemu').replace('<on_crash>destroy', '<on_crash>explode'))
    expect(() => execFileSync('virt-xml-validate', [file, 'domain'], { stdio: 'pipe' })).toThrow()
  })

  it('gives each disk a target of its own, beyond z too', () => {
    const spec = specs[4]![1]
    const targets = [...renderDomainXml(spec, 'qemu').matchAll(/target dev='(\w+)'/g)].map((match) => match[1])
    expect(new Set(targets).size).toBe(33)
    expect(targets.slice(24, 28)).toEqual(['vdy', 'vdz', 'vdaa', 'vdab'])
  })

  it('refuses a network that hosts do not have', () => {
    expect(() => renderDomainXml({ ...base, nics: [{ network: 'blue', mac: '52:54:00:00:00:01' }] }, 'qemu')).toThrow(OperationalError)
  })
})

describe('parseDomainMetadata', () => {
  it('reads back what was rendered, whatever the title', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(), fc.constantFrom<DomainType>('qemu', 'kvm', 'test'), (title, epoch, type) => {
        const spec = { ...base, title, epoch }
        expect(parseDomainMetadata(renderDomainXml(spec, type))).toEqual({ epoch, definition: domainDigest(spec) })
      }),
    )
  })

  it('reads the element alone, as libvirt gives it', () => {
    expect(parseDomainMetadata("<domain epoch='7' definition='00ff'/>\n")).toEqual({ epoch: 7, definition: '00ff' })
  })

  it.each(['', 'no xml', '<domain/>', "<domain epoch='x' definition='00ff'/>", "<domain epoch='1' definition='<>'/>", '<domain><metadata/></domain>'])(
    'makes nothing of %j', (xml) => expect(parseDomainMetadata(xml)).toBeNull(),
  )
})

describe('escapeXml', () => {
  it('any text comes back, but for what XML cannot hold', () => {
    const parser = new XMLParser({ trimValues: false, parseTagValue: false, processEntities: true, htmlEntities: true })
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const expected = text.toWellFormed().replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd').replace(/\r\n?/g, '\n')
        const escaped = escapeXml(text)
        expect(escaped).not.toMatch(/[<>"']/)
        expect(String((parser.parse(`<a>${escaped}</a>`) as { a: unknown }).a).replace(/\r\n?/g, '\n')).toBe(expected)
      }),
    )
  })
})

describe('domainDigest', () => {
  it('changes with every field', () => {
    const changes: readonly Partial<DomainSpec>[] = [
      { id: '0198c0de-0000-7000-8000-00000000abce' }, { domainName: 'x' }, { title: 'x' }, { epoch: 4 }, { cpus: 3 }, { memoryMiB: 257 }, { firmware: 'uefi' },
      { disks: [] }, { seedPath: null }, { nics: [] }, { disks: [{ ...base.disks[0]!, readOnly: true }] }, { disks: [{ ...base.disks[0]!, bus: 'sata' }] },
    ]
    const digests = new Set([base, ...changes.map((change) => ({ ...base, ...change }))].map(domainDigest))
    expect(digests.size).toBe(changes.length + 1)
    expect(domainDigest({ ...base })).toMatch(/^[0-9a-f]{16}$/)
  })
})

describe('parseScreenSocket', () => {
  const live = (graphics: string) => `<domain type='qemu' id='7'><devices>${graphics}</devices></domain>`
  it('finds the socket of the VNC screen, in either place libvirt writes it', () => {
    expect(parseScreenSocket(live("<graphics type='spice'/><graphics type='vnc' socket='/a/vnc.sock'><listen type='socket' socket='/a/vnc.sock'/></graphics>"))).toBe('/a/vnc.sock')
    expect(parseScreenSocket(live("<graphics type='vnc'><listen type='socket' socket='/b&amp;c'/></graphics>"))).toBe('/b&c')
  })
  it('knows where there is none', () => {
    expect(parseScreenSocket(live(''))).toBeNull()
    expect(parseScreenSocket(live("<graphics type='vnc' port='5900'><listen type='address' address='127.0.0.1'/></graphics>"))).toBeNull()
    // A definition alone: libvirt chooses the path at start.
    expect(parseScreenSocket(renderDomainXml(base, 'qemu'))).toBeNull()
  })
})
