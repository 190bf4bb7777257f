// A running domain's XML, rewritten for the host it moves to: other paths and our metadata; what the guest sees stays.
import { XMLBuilder, XMLParser } from 'fast-xml-parser'
import { domainDigest } from '../ports/domain-digest.ts'
import type { DomainSpec } from '../ports/hypervisor.ts'
import { diskSerial, metadataNamespace, seedSerial, type DomainType } from './domain-xml.ts'

export type LiveDomainXml = {
  readonly xml: string
  readonly type: DomainType
  readonly name: string
  /** Device names (vda…) of the disks whose content has to be copied: all that can be written. */
  readonly copiedDisks: readonly string[]
}

/** fast-xml-parser's ordered form: one key for the element's name, `:@` for its attributes; text is `#text`. */
type XmlNode = { [name: string]: XmlNode[] | Record<string, string> | string }

const attributesKey = ':@'
const metadataPrefix = 'xmlns:'
const format = { preserveOrder: true, ignoreAttributes: false, attributeNamePrefix: '', processEntities: true, suppressBooleanAttributes: false } as const

/**
 * @param liveXml as libvirt gives it for migration (flags SECURE and MIGRATABLE)
 * @param target where its disks lie at the target, and its epoch
 * @throws Error with a sentence where a disk has no place at the target or the XML is not one of ours
 */
export function retargetDomainXml(liveXml: string, target: DomainSpec): LiveDomainXml {
  const document = new XMLParser({ ...format, parseTagValue: false, parseAttributeValue: false }).parse(liveXml) as XmlNode[]
  const domain = document.find((node) => Object.hasOwn(node, 'domain'))
  if (domain === undefined) throw new Error('libvirt gave no domain XML')
  const parts = childrenOf(domain)
  stampMetadata(parts, target)
  const devices = childrenOf(only(parts, 'devices') ?? {})
  const copied = elements(devices, 'disk').flatMap((disk) => moveDisk(disk, target))
  for (const graphics of elements(devices, 'graphics')) forgetSocket(graphics)
  return {
    xml: new XMLBuilder({ ...format, suppressEmptyNode: true }).build(document),
    type: attributesOf(domain)['type'] as DomainType,
    name: textOf(only(parts, 'name')),
    copiedDisks: copied,
  }
}

function stampMetadata(parts: readonly XmlNode[], target: DomainSpec): void {
  const metadata = only(parts, 'metadata')
  const own = metadata === undefined ? undefined : childrenOf(metadata).find((node) => isOurs(node))
  if (own === undefined) throw new Error('the domain does not carry our metadata')
  Object.assign(attributesOf(own), { epoch: String(target.epoch), definition: domainDigest(target) })
}

function isOurs(node: XmlNode): boolean {
  return Object.entries(attributesOf(node)).some(([name, value]) => name.startsWith(metadataPrefix) && value === metadataNamespace)
}

/** @returns its device name where it is copied */
function moveDisk(disk: XmlNode, target: DomainSpec): readonly string[] {
  const parts = childrenOf(disk)
  const device = attributesOf(only(parts, 'target') ?? {})['dev'] ?? ''
  const source = only(parts, 'source')
  if (source === undefined) return []
  const path = targetPath(textOf(only(parts, 'serial')), attributesOf(source)['file'] ?? '', target)
  if (path === null) throw new Error(`disk ${device} of the running domain has no place at the target`)
  // What the target's image stands on is read there from the image itself; indexes are this QEMU's own.
  disk['disk'] = parts.filter((part) => !Object.hasOwn(part, 'backingStore') && !Object.hasOwn(part, 'mirror'))
  source['source'] = []
  source[attributesKey] = { file: path }
  return only(parts, 'readonly') === undefined ? [device] : []
}

/** libvirt names the socket by the running domain's number, which is another one at the target. */
function forgetSocket(graphics: XmlNode): void {
  for (const place of [graphics, ...elements(childrenOf(graphics), 'listen')]) delete attributesOf(place)['socket']
}

function targetPath(serial: string, livePath: string, target: DomainSpec): string | null {
  const seed = serial === seedSerial && target.seedPath !== null ? [target.seedPath] : []
  const found = [...seed, ...target.disks.filter((disk) => diskSerial(disk.name) === serial).map((disk) => disk.path)]
  // Long names may share what of them fits into a serial number.
  return (found.length > 1 ? found.find((path) => fileName(path) === fileName(livePath)) : found[0]) ?? null
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function elements(nodes: readonly XmlNode[], name: string): readonly XmlNode[] {
  return nodes.filter((node) => Object.hasOwn(node, name))
}

function only(nodes: readonly XmlNode[], name: string): XmlNode | undefined {
  return elements(nodes, name)[0]
}

function childrenOf(node: XmlNode): XmlNode[] {
  const children = Object.entries(node).find(([name]) => name !== attributesKey)?.[1]
  return Array.isArray(children) ? children : []
}

function attributesOf(node: XmlNode): Record<string, string> {
  return (node[attributesKey] ??= {}) as Record<string, string>
}

function textOf(node: XmlNode | undefined): string {
  if (node === undefined) return ''
  return childrenOf(node).map((child) => (typeof child['#text'] === 'string' ? child['#text'] : '')).join('')
}
