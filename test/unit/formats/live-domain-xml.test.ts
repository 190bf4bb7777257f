// A live domain's XML for another host: paths and metadata change, what the guest sees does not, and what is not understood is refused.
import { XMLParser } from 'fast-xml-parser'
import { describe, expect, it } from 'vitest'
import { parseEmulatorOwner } from '../../../src/formats/capabilities-xml.ts'
import { parseDomainMetadata } from '../../../src/formats/domain-xml.ts'
import { retargetDomainXml } from '../../../src/formats/live-domain-xml.ts'
import { domainDigest } from '../../../src/ports/domain-digest.ts'
import type { DomainSpec } from '../../../src/ports/hypervisor.ts'

const disk = (name: string, path = `/target/${name}.qcow2`) => ({ name, path, format: 'qcow2' as const, bus: 'virtio' as const, readOnly: false })
const target: DomainSpec = {
  id: '0198c0de-0000-7000-8000-00000000abcd', domainName: 'web.0000abcd', title: 'web', epoch: 4, cpus: 1, memoryMiB: 128, firmware: 'bios',
  disks: [disk('root'), disk('data & more')], seedPath: '/target/seed.iso', nics: [],
}
const live = `<domain type='qemu'>
  <name>web.0000abcd</name>
  <title>it's &lt;web&gt; &amp; co</title>
  <metadata><other:x xmlns:other='urn:x'>kept</other:x><nova:domain xmlns:nova='https://novacron.dev/xmlns/domain/1' epoch='3' definition='aaaa'/></metadata>
  <memory unit='KiB'>131072</memory>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='writeback'/>
      <source file='/source/root.qcow2' index='2'/>
      <backingStore type='file' index='4'><format type='qcow2'/><source file='/source/base.qcow2'/><backingStore/></backingStore>
      <target dev='vda' bus='virtio'/><serial>root</serial><alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
    </disk>
    <disk type='file' device='disk'><source file='/source/x.qcow2'/><target dev='vdb' bus='virtio'/><serial>data &amp; more</serial></disk>
    <disk type='file' device='disk'><source file='/source/seed.iso'/><target dev='vdc' bus='virtio'/><readonly/><serial>cidata</serial></disk>
    <graphics type='vnc' socket='/var/lib/libvirt/qemu/domain-7-web/vnc.sock'><listen type='socket' socket='/var/lib/libvirt/qemu/domain-7-web/vnc.sock'/></graphics>
    <serial type='pty'><source path='/dev/pts/3'/><target port='0'/></serial>
  </devices>
</domain>`

describe('retargetDomainXml', () => {
  const moved = retargetDomainXml(live, target)
  const parse = (xml: string) => new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', removeNSPrefix: true }).parse(xml).domain

  it('points every disk at the target, copies those that can be written, and stamps the new owner', () => {
    const { devices } = parse(moved.xml)
    expect(devices.disk.map((each: { source: object }) => each.source)).toEqual([{ file: '/target/root.qcow2' }, { file: '/target/data & more.qcow2' }, { file: '/target/seed.iso' }])
    expect(moved).toMatchObject({ copiedDisks: ['vda', 'vdb'], type: 'qemu', name: 'web.0000abcd' })
    expect(parseDomainMetadata(moved.xml)).toEqual({ epoch: 4, definition: domainDigest(target) })
    expect(moved.xml).not.toContain('/source/')
    expect(moved.xml).not.toContain('vnc.sock')
  })

  it('leaves all else as it was', () => {
    const strip = ({ metadata: _, devices, ...rest }: Record<string, unknown>) => {
      const { disk: disks, graphics: __, ...others } = devices as { disk: { source: unknown; backingStore: unknown }[]; graphics: unknown }
      return { rest, others, disks: disks.map(({ source: _source, backingStore: _backing, ...each }) => each) }
    }
    expect(strip(parse(moved.xml))).toEqual(strip(parse(live)))
    expect(parse(moved.xml).metadata.x).toBe('kept')
    expect(moved.xml).toContain("https://novacron.dev/xmlns/domain/1")
    expect(retargetDomainXml(moved.xml, target).xml).toBe(moved.xml)
  })

  it('tells disks apart whose names begin alike, and a data disk named like the seed', () => {
    const name = 'a-name-of-twenty-characters-and-more'
    const twins = live.replace('<serial>root<', `<serial>${name.slice(0, 20)}<`).replace('<serial>data &amp; more<', `<serial>${name.slice(0, 20)}<`)
    const spec = { ...target, disks: [disk(`${name}-1`, '/target/x.qcow2'), disk(`${name}-2`, '/target/root.qcow2')] }
    expect(parse(retargetDomainXml(twins, spec).xml).devices.disk.slice(0, 2).map((each: { source: { file: string } }) => each.source.file)).toEqual(['/target/root.qcow2', '/target/x.qcow2'])
    const named = { ...target, disks: [disk('root'), disk('cidata', '/target/x.qcow2')] }
    expect(parse(retargetDomainXml(live.replace('data &amp; more', 'cidata'), named).xml).devices.disk[1].source.file).toBe('/target/x.qcow2')
  })

  it('refuses a disk that has no place at the target, and domains that are not ours', () => {
    expect(() => retargetDomainXml(live, { ...target, disks: [disk('root')] })).toThrow(/vdb .* no place/)
    expect(() => retargetDomainXml(live, { ...target, seedPath: null })).toThrow(/vdc/)
    expect(() => retargetDomainXml(live.replace('novacron.dev', 'example.org'), target)).toThrow(/metadata/)
    expect(() => retargetDomainXml('<pool/>', target)).toThrow(/no domain/)
  })
})

describe('parseEmulatorOwner', () => {
  const capabilities = (models: string) => `<capabilities><host><uuid>x</uuid>${models}</host></capabilities>`
  it('finds the DAC label of QEMU', () => {
    const dac = "<secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+108</baselabel><baselabel type='qemu'>+64055:+108</baselabel></secmodel>"
    expect(parseEmulatorOwner(capabilities(`<secmodel><model>apparmor</model><doi>0</doi></secmodel>${dac}`))).toEqual({ uid: 64055, gid: 108 })
    expect(parseEmulatorOwner(capabilities(dac))).toEqual({ uid: 64055, gid: 108 })
  })
  it('says where there is none', () => {
    for (const xml of ['', '<capabilities/>', capabilities(''), capabilities('<secmodel><model>none</model></secmodel>'), capabilities('<secmodel><model>dac</model><baselabel>root:root</baselabel></secmodel>')]) {
      expect(parseEmulatorOwner(xml)).toBeNull()
    }
  })
})
