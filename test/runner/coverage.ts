// Coverage by room, from vitest's json-summary.
import { relative, sep } from 'node:path'
import { z } from 'zod'

const countSchema = z.object({ total: z.number(), covered: z.number() })
const summarySchema = z.record(z.string(), z.object({ lines: countSchema, functions: countSchema, branches: countSchema }))

export type RoomCoverage = { readonly room: string; readonly lines: number; readonly functions: number; readonly branches: number; readonly linesTotal: number }

/** Percentages by room (`src/raft`, `src/drivers/libvirt`, `ui/views`), sorted by name; files of the root are `src`. */
export function coverageByRoom(summary: unknown, root: string): readonly RoomCoverage[] {
  const rooms = new Map<string, Record<'lines' | 'functions' | 'branches', { total: number; covered: number }>>()
  for (const [path, counts] of Object.entries(summarySchema.parse(summary))) {
    if (path === 'total') continue
    const room = roomOf(relative(root, path))
    const sums = rooms.get(room) ?? { lines: { total: 0, covered: 0 }, functions: { total: 0, covered: 0 }, branches: { total: 0, covered: 0 } }
    for (const kind of ['lines', 'functions', 'branches'] as const) {
      sums[kind].total += counts[kind].total
      sums[kind].covered += counts[kind].covered
    }
    rooms.set(room, sums)
  }
  const percent = ({ total, covered }: { total: number; covered: number }): number => (total === 0 ? 100 : (100 * covered) / total)
  return [...rooms.entries()]
    .sort(([left], [right]) => left.localeCompare(right))
    .map(([room, sums]) => ({ room, lines: percent(sums.lines), functions: percent(sums.functions), branches: percent(sums.branches), linesTotal: sums.lines.total }))
}

export function renderCoverage(rooms: readonly RoomCoverage[]): string {
  const rows = rooms.map(({ room, lines, functions, branches, linesTotal }) => [room, ...[lines, functions, branches].map((value) => `${value.toFixed(1)} %`), String(linesTotal)])
  return [['room', 'lines', 'functions', 'branches', 'of lines'], ...rows]
    .map(([room = '', ...cells]) => `  ${room.padEnd(24)}${cells.map((cell) => cell.padStart(12)).join('')}`)
    .join('\n')
}

function roomOf(path: string): string {
  const parts = path.split(sep).slice(0, -1)
  return parts.slice(0, parts[1] === 'drivers' ? 3 : 2).join('/')
}
