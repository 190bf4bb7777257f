// JSON with its own checksum in front, for the heads of our databases: LevelDB does not verify what it reads from its tables.
import { crc32 } from 'node:zlib'

export function renderCheckedJson(value: unknown): string {
  const json = JSON.stringify(value)
  return `${crc32(json)} ${json}`
}

/** The value, or null if text and checksum do not match. */
export function parseCheckedJson(text: string): unknown {
  const space = text.indexOf(' ')
  const json = text.slice(space + 1)
  return space > 0 && String(crc32(json)) === text.slice(0, space) ? (JSON.parse(json) as unknown) : null
}
