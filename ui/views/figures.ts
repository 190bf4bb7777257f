// How figures, sizes and times are written.
import { html } from 'hono/html'
import type { Frame, Html } from './frame.ts'

const nbsp = '\u00a0'
const plain = new Intl.NumberFormat('en')
const threeDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
export const unknown = '–'

export function count(value: number): string {
  return plain.format(value)
}

/** "1 VM", "3 VMs". */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)}${nbsp}${value === 1 ? one : more}`
}

/** Bytes by 1024, three significant digits: "26.6 GiB". */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let rest = value
  let unit = 0
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024
    unit++
  }
  return `${rest >= 1000 ? count(Math.round(rest)) : threeDigits.format(rest)}${nbsp}${units[unit]}`
}

export function mebibytes(value: number): string {
  return bytes(value * 1024 * 1024)
}

/** A ratio 0…1 as "63 %". */
export function percent(ratio: number): string {
  return `${Math.round(ratio * 100)}${nbsp}%`
}

/** Milliseconds as "0.4 s", "3 min 10 s", "5 h". */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 10) return `${(Math.round(seconds * 10) / 10).toString()}${nbsp}s`
  if (seconds < 60) return `${Math.round(seconds)}${nbsp}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return seconds % 60 < 1 ? `${minutes}${nbsp}min` : `${minutes}${nbsp}min ${Math.floor(seconds % 60)}${nbsp}s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours}${nbsp}h`
  return `${count(Math.floor(hours / 24))}${nbsp}d`
}

/** How long ago: "now", "33 min", "5 h", "3 d". */
export function age(frame: Pick<Frame, 'nowMs'>, iso: string): string {
  const ms = frame.nowMs - Date.parse(iso)
  if (!Number.isFinite(ms)) return unknown
  if (ms < 60_000) return 'now'
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)}${nbsp}min`
  return duration(ms)
}

type Zone = Pick<Frame, 'timeZone'>

/** "14:31:08" in the reader's zone. */
export function clock(frame: Zone, at: string | number): string {
  return format(frame, at, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
}

/** "20 November 2026, 14:32:06 CET". */
export function moment(frame: Zone, at: string | number): string {
  const day = format(frame, at, { day: 'numeric', month: 'long', year: 'numeric' })
  return `${day}, ${format(frame, at, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short' })}`
}

function format(frame: Zone, at: string | number, options: Intl.DateTimeFormatOptions): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return unknown
  return new Intl.DateTimeFormat('en-GB', { timeZone: frame.timeZone, ...options }).format(date)
}

/** A time of record: today as "14:31:08", else "20 Nov, 14:31". */
export function timeTag(frame: Pick<Frame, 'nowMs' | 'timeZone'>, iso: string): Html {
  const near = Math.abs(frame.nowMs - Date.parse(iso)) < 20 * 3_600_000
  const text = near ? clock(frame, iso) : format(frame, iso, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  return html`<time datetime="${iso}" title="${moment(frame, iso)}">${text}</time>`
}

/** "33 min ago", "now". */
export function agoTag(frame: Pick<Frame, 'nowMs' | 'timeZone'>, iso: string): Html {
  const text = age(frame, iso)
  return html`<time datetime="${iso}" title="${moment(frame, iso)}">${text === 'now' ? text : `${text} ago`}</time>`
}

/** Time gone by as "33 min". */
export function ageTag(frame: Pick<Frame, 'nowMs' | 'timeZone'>, iso: string): Html {
  return html`<time datetime="${iso}" title="${moment(frame, iso)}">${age(frame, iso)}</time>`
}
