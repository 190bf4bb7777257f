// Which lines of the consensus engine a process has run, by V8's own coverage; and the sum over processes.
import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { stripTypeScriptTypes } from 'node:module'
import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const rooms = ['src/raft', 'src/cluster'] as const

/** By file: for each line that holds code, its number and whether it ran. */
export type LinesRun = Readonly<Record<string, readonly (readonly [line: number, ran: boolean])[]>>
type Range = { readonly startOffset: number; readonly endOffset: number; readonly count: number }

/** To be begun before the code is loaded. */
export async function beginCoverage(): Promise<{ lines(): Promise<LinesRun> }> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true })
  return {
    lines: async () => {
      const { result } = await session.post('Profiler.takePreciseCoverage')
      const found: Record<string, LinesRun[string]> = {}
      for (const { url, functions } of result) {
        const path = url.startsWith('file:') ? relative(root, fileURLToPath(url)).replaceAll(sep, '/') : ''
        if (rooms.some((room) => path.startsWith(`${room}/`))) found[path] = linesOf(readFileSync(fileURLToPath(url), 'utf8'), functions.flatMap(({ ranges }) => ranges))
      }
      return found
    },
  }
}

/** Lines that hold more than brackets, comments and types. What runs has its types replaced by blanks, so that places stay. */
export function linesOf(source: string, ranges: readonly Range[]): LinesRun[string] {
  const blank = (text: string): string => text.replaceAll(/[^\n]/g, ' ')
  const code = stripTypeScriptTypes(source).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, blank).replaceAll(/^[\s{}()[\],;]*$/gm, blank)
  const ran = new Uint8Array(code.length).fill(1)
  // The innermost range counts: outer ones first.
  const outerFirst = ranges.toSorted((left, right) => left.startOffset - right.startOffset || right.endOffset - left.endOffset)
  for (const { startOffset, endOffset, count } of outerFirst) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  const lines: (readonly [number, boolean])[] = []
  let start = 0
  for (const [at, text] of code.split('\n').entries()) {
    const places = Array.from(text, (character, offset) => (character.trim() === '' ? -1 : start + offset)).filter((place) => place !== -1)
    if (places.length > 0) lines.push([at + 1, places.some((place) => ran[place] === 1)])
    start += text.length + 1
  }
  return lines
}

/** A line has run where it ran in any process. */
export function addCoverage(left: LinesRun, right: LinesRun): LinesRun {
  const sum: Record<string, LinesRun[string]> = { ...left }
  for (const [path, lines] of Object.entries(right)) {
    const known = new Map(sum[path] ?? [])
    sum[path] = lines.map(([line, ran]) => [line, ran || known.get(line) === true])
  }
  return sum
}

/** For people: each room's share of lines, and which did not run. */
export function renderCoverage(coverage: LinesRun): string {
  return rooms.map((room) => {
    const files = Object.entries(coverage).filter(([path]) => path.startsWith(`${room}/`))
    const lines = files.flatMap(([, each]) => each)
    const ran = lines.filter(([, hasRun]) => hasRun).length
    const missed = files.flatMap(([path, each]) => {
      const numbers = each.filter(([, hasRun]) => !hasRun).map(([line]) => line)
      return numbers.length === 0 ? [] : [`${path.slice(room.length + 1)}:${numbers.join(',')}`]
    })
    return `${room} ${lines.length === 0 ? 0 : ((100 * ran) / lines.length).toFixed(1)} % of ${lines.length} lines${missed.length === 0 ? '' : `; not run: ${missed.toSorted().join(' ')}`}`
  }).join('\n')
}
