// Pictures: bars, the ring of voters, the cells of VMs. Sizes are SVG attributes, so the CSP needs no inline style.
import { html } from 'hono/html'
import type { Node } from '../../src/model/node.ts'
import type { VmPhase } from '../../src/model/vm.ts'
import type { Frame, Html } from './frame.ts'
import { count } from './figures.ts'
import { icon } from './icon.ts'
import { roleIcons, vmStateWords } from './state.ts'

export const highRatio = 0.85
export const criticalRatio = 0.95

/** How full, as tone: over 85 % warn, over 95 % bad. */
export function fullness(ratio: number): 'a' | 'w' | 'x' {
  if (ratio > criticalRatio) return 'x'
  return ratio > highRatio ? 'w' : 'a'
}

export type BarPart = { readonly fill: 'a' | 'w' | 'x' | 'o' | 'q'; readonly ratio: number }

/** Parts of a whole in a row, with a sentence as name. */
export function partsBar(parts: readonly BarPart[], label: string, options: { readonly tall?: boolean; readonly markRatio?: number } = {}): Html {
  let at = 0
  const rects = parts
    .filter((part) => part.ratio > 0)
    .map((part) => {
      const x = at
      const width = Math.min(100 - x, part.ratio * 100)
      at += width
      return html`<rect class="${part.fill}" x="${round(x)}" width="${round(width)}" height="1"/>`
    })
  const mark = options.markRatio === undefined ? '' : html`<rect class="mark" x="${round(Math.min(99.5, options.markRatio * 100))}" width=".5" height="1"/>`
  return html`<svg class="bar${options.tall === true ? ' tall' : ''}" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label="${label}">${rects}${mark}</svg>`
}

/** One share with the tone of its fullness. */
export function ratioBar(ratio: number, label: string, options: { readonly tall?: boolean; readonly markRatio?: number } = {}): Html {
  return partsBar([{ fill: fullness(ratio), ratio: Math.max(0, Math.min(1, ratio)) }], label, options)
}

/** Says in words and shape what the tone of a bar says in colour. */
export function fullnessMark(frame: Frame, ratio: number): Html {
  const tone = fullness(ratio)
  if (tone === 'a') return html``
  return html` <span class="vh">${tone === 'x' ? 'critical' : 'high'}</span>${icon(frame, 's-warn', tone === 'x' ? 'bad' : 'warn')}`
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10)
}

const ringWidth = 240
const discsMax = 12

/** Voters and learners on a ring; the leader is filled with a star, lost ones are dashed with a cross. */
export function quorumRing(frame: Frame, nodes: readonly Node[]): Html {
  const shown = nodes.slice(0, discsMax)
  const places = shown.map((node, at) => ({ node, ...ringPlace(at, shown.length) }))
  const edges = places.flatMap((from, at) =>
    places.slice(at + 1).map((to) => {
      const lost = !from.node.status.ready || !to.node.status.ready
      return html`<path class="edge${lost ? ' lost' : ''}" d="M${from.x} ${from.y}L${to.x} ${to.y}"/>`
    }),
  )
  const rtts = places.map((place) => rttLabel(place, places.find((other) => other.node.name === frame.cluster.node)))
  const discs = places.map(({ node, x, y }) => {
    const gone = !node.status.ready
    const leads = node.status.role === 'leader' && !gone
    const symbol = gone ? 'x' : roleIcons[node.status.role]
    const textY = y < 70 && shown.length > 1 ? y - 42 : y + 33
    const role = gone ? 'unreachable' : node.status.role
    return html`<circle class="disc${leads ? ' lead' : ''}${gone ? ' gone' : ''}" cx="${x}" cy="${y}" r="18"/><use href="${frame.asset('icons.svg')}#${symbol}" class="${leads ? '' : gone ? 'g' : 'v'}" x="${x - 9}" y="${y - 9}" width="18" height="18"/><text x="${x}" y="${textY}" text-anchor="middle">${shortName(node.name)}</text><text class="sub" x="${x}" y="${textY + 13}" text-anchor="middle">${role}</text>`
  })
  return html`<svg class="quorum" viewBox="0 0 ${ringWidth} 202" role="img" aria-label="${quorumSentence(nodes)}">${edges}${rtts}${discs}</svg>`
}

type RingPlace = { readonly x: number; readonly y: number }

function ringPlace(at: number, of: number): RingPlace {
  if (of === 1) return { x: 120, y: 96 }
  if (of === 2) return { x: at === 0 ? 55 : 185, y: 96 }
  if (of === 3) return [{ x: 120, y: 52 }, { x: 42, y: 152 }, { x: 198, y: 152 }][at] ?? { x: 120, y: 96 }
  const angle = (at / of) * 2 * Math.PI - Math.PI / 2
  return { x: Math.round(120 + 82 * Math.cos(angle)), y: Math.round(104 + 58 * Math.sin(angle)) }
}

function rttLabel(place: RingPlace & { readonly node: Node }, self: RingPlace | undefined): Html {
  const rtt = place.node.status.rttMs
  if (self === undefined || rtt === null || rtt <= 0 || (self.x === place.x && self.y === place.y)) return html``
  const flat = Math.abs(self.y - place.y) < 20
  const x = Math.round((self.x + place.x) / 2) + (flat ? 0 : self.x + place.x < ringWidth ? -13 : 13)
  const y = Math.round((self.y + place.y) / 2) + (flat ? -8 : -3)
  return html`<text class="sub" x="${x}" y="${y}" text-anchor="${flat ? 'middle' : self.x + place.x < ringWidth ? 'end' : 'start'}">${rtt < 10 ? rtt.toFixed(2) : Math.round(rtt)} ms</text>`
}

function shortName(name: string): string {
  return name.length > 11 ? `${name.slice(0, 10)}…` : name
}

/** "n1 leads; n2 and n3 vote; n4 cannot be reached". */
export function quorumSentence(nodes: readonly Node[]): string {
  const ready = nodes.filter((node) => node.status.ready)
  const leader = ready.find((node) => node.status.role === 'leader')
  const parts = [
    leader === undefined ? 'no leader is known' : `${leader.name} leads`,
    clause(ready.filter((node) => node.status.role === 'voter'), 'votes', 'vote'),
    clause(ready.filter((node) => node.status.role === 'learner'), 'learns', 'learn'),
    clause(nodes.filter((node) => !node.status.ready), 'cannot be reached', 'cannot be reached'),
  ]
  return parts.filter((part) => part !== '').join('; ')
}

function clause(nodes: readonly Node[], one: string, more: string): string {
  const names = nodes.map((node) => node.name)
  if (names.length === 0) return ''
  if (names.length === 1) return `${names[0]} ${one}`
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)} ${more}`
}

export const cellsMax = 200
const cellColumns = 18

/** One square a VM, its shape for its state. */
export function vmCells(phases: readonly VmPhase[], node: string, columns = cellColumns): Html {
  const shown = phases.slice(0, cellsMax)
  const rows = Math.max(1, Math.ceil(shown.length / columns))
  const width = columns * 13 - 3
  return html`<svg class="cells${columns > cellColumns ? ' wide' : ''}" viewBox="0 0 ${width} ${rows * 13 - 3}" role="img" aria-label="${cellsSentence(phases, node)}">${shown.map((phase, at) =>
    cell(phase, (at % columns) * 13, Math.floor(at / columns) * 13),
  )}</svg>`
}

function cell(phase: VmPhase, x: number, y: number): Html {
  switch (phase) {
    case 'running':
      return html`<rect class="r" x="${x}" y="${y}" width="10" height="10" rx="2"/>`
    case 'failed':
      return html`<rect class="f" x="${x}" y="${y}" width="10" height="10" rx="1.5"/><path class="fx" d="m${x + 3} ${y + 3} 4 4m0-4-4 4"/>`
    case 'paused':
      return html`<path class="p" d="M${x + 1} ${y}h3v10h-3zM${x + 6} ${y}h3v10h-3z"/>`
    case 'pending':
    case 'starting':
    case 'stopping':
    case 'migrating':
    case 'deleting':
      return html`<rect class="m" x="${x}" y="${y}" width="10" height="10" rx="5"/>`
    case 'stopped':
    case 'suspended':
      return html`<rect class="s" x="${x + 1}" y="${y + 1}" width="8" height="8" rx="1.5"/>`
    case 'unknown':
      return html`<rect class="s u" x="${x + 1}" y="${y + 1}" width="8" height="8" rx="4"/>`
  }
}

/** "48 VMs on n3: 45 running, 2 stopped, 1 failed". */
export function cellsSentence(phases: readonly VmPhase[], node: string): string {
  if (phases.length === 0) return `No VMs on ${node}`
  const counts = new Map<VmPhase, number>()
  for (const phase of phases) counts.set(phase, (counts.get(phase) ?? 0) + 1)
  const parts = [...counts].map(([phase, n]) => `${count(n)} ${vmStateWords[phase].word.toLowerCase()}`)
  return `${count(phases.length)} ${phases.length === 1 ? 'VM' : 'VMs'} on ${node}: ${parts.join(', ')}`
}
