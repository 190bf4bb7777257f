// Digest of a DomainSpec: what a driver writes into a domain when defining it, and what others compare to see whether it is still so.
import type { DomainSpec } from './hypervisor.ts'

/** Rises when drivers begin to make something else of the same spec, so that existing domains are defined anew. */
const renderingVersion = 2

/** 16 hex digits over every field of the spec, the epoch too. Against oversight, not against adversaries. */
export function domainDigest(spec: DomainSpec): string {
  const text = JSON.stringify([
    renderingVersion, spec.id, spec.domainName, spec.title, spec.epoch, spec.cpus, spec.memoryMiB, spec.firmware,
    spec.disks.map((disk) => [disk.name, disk.path, disk.format, disk.bus, disk.readOnly]),
    spec.seedPath,
    spec.nics.map((nic) => [nic.network, nic.mac]),
  ])
  // Two FNV-1a lanes (offset basis and its complement) with a final mix.
  let first = 0x811c9dc5
  let second = ~0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    first = Math.imul(first ^ code, 0x01000193)
    second = Math.imul(second ^ code ^ (first >>> 15), 0x85ebca6b)
  }
  return hex(first) + hex(second ^ Math.imul(first, 0xc2b2ae35))
}

function hex(value: number): string {
  return ((value ^ (value >>> 16)) >>> 0).toString(16).padStart(8, '0')
}
