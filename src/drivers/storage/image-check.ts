// Decides whether a file from outside is a disk image that may be used: by its header first, then by QEMU's own tools.
import { stat } from 'node:fs/promises'
import { judgeDiskImage } from '../../formats/disk-image.ts'
import { qcow2HeaderBytes } from '../../formats/qcow2.ts'
import { OperationalError } from '../../model/error.ts'
import { readStart } from './files.ts'
import type { ImageTool } from './qemu-img.ts'

const infoTimeoutMs = 15_000
const checkTimeoutMs = 120_000
/** qemu-img check: 3 is leaked clusters, which waste space and harm nothing. */
const checkFine = [0, 3]

export type CheckedImage = { readonly format: 'qcow2' | 'raw'; readonly virtualSizeBytes: number }

/** @throws OperationalError IMAGE_UNREADABLE with the reason */
export async function checkImage(path: string, tool: ImageTool): Promise<CheckedImage> {
  const { size } = await stat(path)
  const verdict = judgeDiskImage(await readStart(path, qcow2HeaderBytes), size)
  if (verdict.kind === 'unusable') throw unreadableImage(verdict.reason)
  if (verdict.format === 'qcow2') await checkQcow2(path, verdict.virtualSizeBytes, tool)
  return { format: verdict.format, virtualSizeBytes: verdict.virtualSizeBytes }
}

export function unreadableImage(reason: string): OperationalError {
  return new OperationalError('IMAGE_UNREADABLE', `The file cannot be used as an image: ${reason}.`)
}

async function checkQcow2(path: string, virtualSizeBytes: number, tool: ImageTool): Promise<void> {
  const info = await readInfo(path, tool)
  const backing = member(info, 'backing-filename') ?? member(info, 'full-backing-filename')
  const dataFile = member(member(member(info, 'format-specific'), 'data'), 'data-file')
  if (member(info, 'format') !== 'qcow2' || backing !== undefined || dataFile !== undefined) throw unreadableImage('it refers to other files')
  if (member(info, 'virtual-size') !== virtualSizeBytes) throw unreadableImage('its qcow2 header is damaged')
  const check = await tool.run('qemu-img', ['check', '-q', '-f', 'qcow2', '--output=json', path], { timeoutMs: checkTimeoutMs, untrusted: true })
  if (!checkFine.includes(check.status)) throw unreadableImage(`qemu-img check finds it damaged: ${oneLine(check.stderr) || oneLine(check.stdout)}`)
}

async function readInfo(path: string, tool: ImageTool): Promise<unknown> {
  const info = await tool.run('qemu-img', ['info', '-f', 'qcow2', '--output=json', path], { timeoutMs: infoTimeoutMs, untrusted: true })
  if (info.status !== 0) throw unreadableImage(`qemu-img cannot read it: ${oneLine(info.stderr)}`)
  try {
    return JSON.parse(info.stdout) as unknown
  } catch (cause) {
    throw new OperationalError('STORAGE_FAILED', 'qemu-img info gave no JSON', { cause })
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 300)
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}
