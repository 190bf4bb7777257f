// libvirt's capabilities XML: whom it runs QEMU as.
import { XMLParser } from 'fast-xml-parser'

/** @returns numeric user and group of QEMU's processes as libvirt's DAC security model has them; null where it says nothing */
export function parseEmulatorOwner(xml: string): { readonly uid: number; readonly gid: number } | null {
  const parser = new XMLParser({ ignoreAttributes: false, parseTagValue: false, isArray: (name) => name === 'secmodel' || name === 'baselabel' })
  const document = parser.parse(xml) as { readonly capabilities?: { readonly host?: { readonly secmodel?: readonly SecurityModel[] } } }
  const model = document.capabilities?.host?.secmodel?.find((each) => each.model === 'dac')
  const label = model?.baselabel?.map((each) => (typeof each === 'string' ? each : (each['#text'] ?? ''))).find((text) => ownerPattern.test(text))
  const found = label === undefined ? null : ownerPattern.exec(label)
  return found === null ? null : { uid: Number(found[1]), gid: Number(found[2]) }
}

type SecurityModel = { readonly model?: string; readonly baselabel?: readonly (string | { readonly '#text'?: string })[] }

const ownerPattern = /^\+(\d{1,10}):\+(\d{1,10})$/
