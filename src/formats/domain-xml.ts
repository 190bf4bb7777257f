// libvirt's domain XML: rendered from a DomainSpec, and our metadata element parsed back out of it.
import { XMLParser } from 'fast-xml-parser'
import { OperationalError } from '../model/error.ts'
import { domainDigest } from '../ports/domain-digest.ts'
import type { DomainDisk, DomainNic, DomainSpec } from '../ports/hypervisor.ts'

/** Domains that carry an element of this namespace are ours; all others are left alone. */
export const metadataNamespace = 'https://novacron.dev/xmlns/domain/1'

/** libvirt's word for what runs the vCPUs; `test` is libvirt's own simulation. */
export type DomainType = 'kvm' | 'qemu' | 'test'

export type DomainMetadata = { readonly epoch: number; readonly definition: string }

/** The network every host has: QEMU's user-mode stack gives an address and a way out. */
const natNetwork = 'nat'
const serialNumberLengthMax = 20
/**
 * A display adapter that every guest has a driver for, a screen on a unix socket whose path libvirt chooses (nothing listens on TCP), and a
 * tablet, which unlike a mouse puts the guest's pointer where the viewer's is. xHCI costs an idle guest less than the older USB controllers.
 */
const screenDevices = [
  "<controller type='usb' index='0' model='qemu-xhci'/><input type='tablet' bus='usb'/>",
  "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga' vram='16384'/></video>",
].join('')
/** The serial number of the disk that carries cloud-init's seed. */
export const seedSerial = 'cidata'

/**
 * The whole domain as libvirt's schema wants it (formatdomain). Deterministic.
 * @throws OperationalError REFERENCE_MISSING for a network that hosts do not have
 */
export function renderDomainXml(spec: DomainSpec, type: DomainType): string {
  return [
    `<domain type='${type}'>`,
    `<name>${escapeXml(spec.domainName)}</name>`,
    `<uuid>${spec.id}</uuid>`,
    spec.title === '' ? '' : `<title>${escapeXml(oneLine(spec.title))}</title>`,
    `<metadata><nova:domain xmlns:nova='${metadataNamespace}' epoch='${spec.epoch}' definition='${domainDigest(spec)}'/></metadata>`,
    `<memory unit='MiB'>${spec.memoryMiB}</memory>`,
    `<vcpu placement='static'>${spec.cpus}</vcpu>`,
    renderBoot(spec, type),
    '<features><acpi/><apic/></features>',
    renderCpu(type),
    "<clock offset='utc'/>",
    '<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>',
    '<devices>',
    ...renderDisks(spec),
    ...spec.nics.map(renderNic),
    "<serial type='pty'><target port='0'/></serial>",
    "<console type='pty'><target type='serial' port='0'/></console>",
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
    type === 'test' ? '' : screenDevices,
    "<memballoon model='virtio'/>",
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    // Tells a crashed guest from one that powered off.
    type === 'test' ? '' : "<panic model='isa'/>",
    '</devices>',
    '</domain>',
  ].join('')
}

/**
 * Our metadata in what libvirt gave: the element alone or a whole domain; null where it is not ours or not readable.
 */
export function parseDomainMetadata(xml: string): DomainMetadata | null {
  const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', removeNSPrefix: true, parseAttributeValue: false })
  const document: unknown = parser.parse(xml)
  const domain = member(document, 'domain')
  const own = member(member(domain, 'metadata'), 'domain') ?? domain
  const epoch = Number(member(own, 'epoch'))
  const definition = member(own, 'definition')
  return Number.isSafeInteger(epoch) && typeof definition === 'string' && /^[0-9a-f]{1,64}$/.test(definition) ? { epoch, definition } : null
}

/** Path of the unix socket on which a running domain shows its screen; null where it was started without one. @param liveXml of the domain as it runs */
export function parseScreenSocket(liveXml: string): string | null {
  const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '', parseAttributeValue: false, isArray: (name) => name === 'graphics' || name === 'listen' })
  const document: unknown = parser.parse(liveXml)
  const graphics = member(member(member(document, 'domain'), 'devices'), 'graphics')
  for (const one of Array.isArray(graphics) ? graphics : []) {
    if (member(one, 'type') !== 'vnc') continue
    const listens = member(one, 'listen')
    for (const place of [one, ...(Array.isArray(listens) ? listens : [])]) {
      const socket = member(place, 'socket')
      if (typeof socket === 'string' && socket !== '') return socket
    }
  }
  return null
}

/** Text for an element or an attribute; characters that XML 1.0 forbids are replaced. */
export function escapeXml(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
    .replace(/[&<>'"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

function renderBoot(spec: DomainSpec, type: DomainType): string {
  if (type === 'test') return '<os><type>hvm</type></os>'
  if (spec.firmware === 'bios') return "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
  return "<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type><firmware><feature enabled='no' name='secure-boot'/></firmware></os>"
}

/**
 * KVM passes on what the host has. TCG emulates x86-64-v2, the least that present-day distributions ask for, and the same on every host.
 */
function renderCpu(type: DomainType): string {
  if (type === 'kvm') return "<cpu mode='host-model' check='partial'/>"
  if (type === 'qemu') return "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>Nehalem</model></cpu>"
  return ''
}

function renderDisks(spec: DomainSpec): string[] {
  const taken = { vd: 0, sd: 0 }
  const target = (bus: DomainDisk['bus']): string => {
    const prefix = bus === 'virtio' ? 'vd' : 'sd'
    return prefix + letters(taken[prefix]++)
  }
  const disks = spec.disks.map((disk, index) => renderDisk(disk, target(disk.bus), index + 1))
  // cloud-init finds its seed by the label on any disk; kernels made for clouds have drivers for virtio only.
  const seed = spec.seedPath === null ? [] : [renderDisk({ name: seedSerial, path: spec.seedPath, format: 'raw', bus: 'virtio', readOnly: true }, target('virtio'), null)]
  const controller = spec.disks.some((disk) => disk.bus === 'scsi') ? ["<controller type='scsi' index='0' model='virtio-scsi'/>"] : []
  return [...controller, ...disks, ...seed]
}

/** What of a disk's name the guest sees as its serial number. */
export function diskSerial(name: string): string {
  return name.slice(0, serialNumberLengthMax)
}

function renderDisk(disk: DomainDisk, target: string, bootOrder: number | null): string {
  return [
    "<disk type='file' device='disk'>",
    `<driver name='qemu' type='${disk.format}' cache='writeback'${disk.readOnly ? '' : " discard='unmap'"}/>`,
    `<source file='${escapeXml(disk.path)}'/>`,
    `<target dev='${target}' bus='${disk.bus}'/>`,
    disk.readOnly ? '<readonly/>' : '',
    `<serial>${escapeXml(diskSerial(disk.name))}</serial>`,
    bootOrder === null ? '' : `<boot order='${bootOrder}'/>`,
    '</disk>',
  ].join('')
}

function renderNic(nic: DomainNic): string {
  if (nic.network !== natNetwork) throw new OperationalError('REFERENCE_MISSING', `This host has no network ${nic.network}; there is "${natNetwork}".`)
  // Without its ROM the firmware does not try to boot from the network.
  return `<interface type='user'><mac address='${nic.mac}'/><model type='virtio'/><rom enabled='no'/></interface>`
}

/** 0 → a, 25 → z, 26 → aa. */
function letters(index: number): string {
  const rest = Math.floor(index / 26)
  return (rest === 0 ? '' : letters(rest - 1)) + String.fromCharCode(97 + (index % 26))
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}
