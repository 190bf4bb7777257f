// How things look on a terminal: escaped text, aligned tables, indented details, one JSON document.
import { stripVTControlCharacters } from 'node:util'

// Control characters and those that turn the direction of text: what a server or a guest named must not command the terminal.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text of others, harmless on a terminal. */
export function escapeText(text: string): string {
  return text.replaceAll(unsafe, (character) => {
    if (character === '\n') return String.raw`\n`
    if (character === '\t') return String.raw`\t`
    return unicodeEscape(character)
  })
}

/** One JSON document with a newline; what could command a terminal is escaped, which JSON allows. */
export function renderJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2).replaceAll(unsafe, (character) => (character === '\n' ? character : unicodeEscape(character)))}\n`
}

/** The same on one line. */
export function renderJsonLine(value: unknown): string {
  return `${JSON.stringify(value).replaceAll(unsafe, unicodeEscape)}\n`
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** The value at a path of an answer; undefined where it leads nowhere. */
export function valueAt(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at: unknown = value
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined
    at = (at as Readonly<Record<string | number, unknown>>)[step]
  }
  return at
}

/** The same as text: empty for what is missing or null, lists by commas. */
export function textAt(value: unknown, ...path: readonly (string | number)[]): string {
  return textOf(valueAt(value, ...path))
}

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map(textOf).join(',')
  if (typeof value === 'object') return Object.entries(value).map(([key, each]) => `${key}=${textOf(each)}`).join(',')
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export type Style = 'good' | 'warning' | 'bad' | 'quiet' | 'plain'
const codes: Readonly<Record<Style, string>> = { good: '32', warning: '33', bad: '31', quiet: '2', plain: '' }

/** The style in which a state is shown; unknown words are plain. */
export function styleOf(word: string): Style {
  if (/^(?:running|done|good|true|leader|voter|valid|ready)$/.test(word)) return 'good'
  if (/^(?:pending|starting|stopping|paused|deleting|migrating|queued|warning|learner|unknown)$/.test(word)) return 'warning'
  if (/^(?:failed|bad|false|refused|revoked|expired|not ready)$/.test(word)) return 'bad'
  return 'plain'
}

export function paint(text: string, style: Style, colours: boolean): string {
  return colours && style !== 'plain' ? `\u001b[${codes[style]}m${text}\u001b[0m` : text
}

export type Cell = { readonly text: string; readonly style?: Style }

/** Aligned columns under a heading, two blanks apart, each line ended. */
export function renderTable(heading: readonly string[], rows: readonly (readonly Cell[])[], colours: boolean): string {
  const lines = [heading.map((text): Cell => ({ text, style: 'quiet' })), ...rows.map((row) => row.map((cell) => ({ ...cell, text: cell.text === '' ? '-' : escapeText(cell.text) })))]
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column]?.text ?? ''))))
  return lines
    .map((line) => `${line.map(({ text, style = 'plain' }, column) => paint(text, style, colours) + (column === line.length - 1 ? '' : ' '.repeat(widths[column]! - widthOf(text) + 2))).join('')}\n`)
    .join('')
}

function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length
}

/** A resource as indented keys and values. */
export function renderDetails(value: unknown, indent = 0): string {
  if (typeof value !== 'object' || value === null) return `${' '.repeat(indent)}${escapeText(textOf(value))}\n`
  const entries = Object.entries(value).filter(([, each]) => !isEmpty(each))
  const width = Math.max(0, ...entries.filter(([, each]) => !isNested(each)).map(([key]) => key.length))
  return entries.map(([key, each]) => {
    const label = `${' '.repeat(indent)}${escapeText(key)}`
    if (!isNested(each)) return `${label}${' '.repeat(Math.max(0, width - key.length) + 2)}${escapeText(textOf(each))}\n`
    if (!Array.isArray(each)) return `${label}\n${renderDetails(each, indent + 2)}`
    return `${label}\n${each.map((item) => `${' '.repeat(indent + 2)}- ${renderDetails(item, indent + 4).trimStart()}`).join('')}`
  }).join('')
}

function isNested(value: unknown): boolean {
  return Array.isArray(value) ? value.some((item) => typeof item === 'object' && item !== null) : typeof value === 'object' && value !== null
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
}

const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Bytes as a person reads them: `1.5 GiB`. */
export function renderBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(binaryUnits.length - 1, Math.floor(Math.log2(bytes) / 10))
  const scaled = bytes / 1024 ** power
  return `${Number(scaled.toFixed(scaled < 10 ? 1 : 0))} ${binaryUnits[power]}`
}

/** How long ago a time of the API was: `42s`, `5m`, `3h`, `12d`. Empty for what is no time. */
export function renderAge(time: unknown, nowMs: number): string {
  const thenMs = typeof time === 'string' ? Date.parse(time) : Number.NaN
  if (Number.isNaN(thenMs)) return ''
  const seconds = Math.max(0, Math.floor((nowMs - thenMs) / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}
