// The page of a node: role, load, room, its VMs.
import { html } from 'hono/html'
import type { Event } from '../../src/model/event.ts'
import type { Node } from '../../src/model/node.ts'
import type { Vm } from '../../src/model/vm.ts'
import { eventList } from './events.ts'
import { agoTag, bytes, count, duration, many, mebibytes, percent, unknown } from './figures.ts'
import { hiddenFields } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { nodeDrainButtons, nodeDrainWord } from './node-drain.ts'
import { nodeMembershipLinks } from './node-membership.ts'
import { nodeDivergence, nodeSupport } from './node-support.ts'
import { asOf } from './note.ts'
import { fullnessMark, partsBar, ratioBar, vmCells } from './picture.ts'
import { nodeStateWord, roleIcons, state, troublesOf, vmStateWords } from './state.ts'
import { vmPath, vmSize } from './vm-words.ts'

export type NodeDetails = {
  readonly node: Node
  /** The first of its VMs, by name. */
  readonly vms: readonly Vm[]
  readonly vmsTotal: number
  readonly events: readonly Event[]
  readonly charts: Html
  readonly migrations: Html
}

export function nodePage(frame: Frame, data: NodeDetails): Html {
  const { node } = data
  return html`<div class="head"><div>${nodeHead(frame, node)}</div><form class="row" method="post">${hiddenFields(frame, `${node.id}.${node.revision}`)}<input type="hidden" name="schedulable" value="no">${nodeDrainButtons(frame, node)}${nodeMembershipLinks(frame, node)}${node.name === frame.cluster.node ? '' : html`<a class="btn" href="${node.status.url}">${icon(frame, 'link')}Its own page</a>`}</form></div>
${nodeFigures(frame, node)}
${data.charts}
<div class="grid"><div class="c8 col wide">${nodeCells(data)}${nodeVms(frame, data)}${data.migrations}</div>
<div class="c4 col wide">${nodeFacts(frame, node)}${nodeSupport(frame, node)}<section class="card live" id="node-events" aria-labelledby="ev-h"><header><h2 id="ev-h">Lately</h2><a href="/events?q=${node.name}">Events</a></header><div class="in">${data.events.length === 0 ? html`<p class="dim">Nothing is on record.</p>` : eventList(frame, data.events)}</div></section></div></div>`
}

/** Live cells. */
export function nodeHead(frame: Frame, node: Node): Html {
  const { status } = node
  const troubles = troublesOf(node)
  const accelerator = status.accelerator === 'kvm' ? 'KVM' : status.accelerator === 'tcg' ? 'TCG, no hardware help' : status.accelerator
  return html`<div id="node-head"><div class="row title"><h1>${node.name}</h1>${state(frame, nodeStateWord(node), { pill: true })}<span class="pill">${icon(frame, roleIcons[status.role])}${status.role}</span>${asOf(frame)}</div><p>${many(status.capacity.cpus, 'thread')}, ${mebibytes(status.capacity.memoryMiB)} · <span class="mono">${status.addresses[0] ?? unknown}</span> · ${accelerator}</p>${
    troubles.length > 0 ? troubles.map(({ message }) => html`<p>${icon(frame, 's-warn', 'warn')} ${message}</p>`) : status.ready || status.reason === '' ? '' : html`<p>${icon(frame, 's-warn', 'warn')} ${status.reason}</p>`
  }${nodeDivergence(frame, node)}${nodeDrainWord(frame, node)}</div>`
}

export function nodeFigures(frame: Frame, node: Node): Html {
  const { load, capacity, allocated } = node.status
  const used = (part: number | null, of: number) => (part === null || of === 0 ? null : part / of)
  const card = (symbol: string, title: string, ratio: number | null, value: string, small: string, foot: string) =>
    html`<div class="card stat c3"><h2>${icon(frame, symbol)}${title}</h2><div class="v">${value} <small>${small}${ratio === null ? '' : fullnessMark(frame, ratio)}</small></div>${ratioBar(ratio ?? 0, ratio === null ? `${title}: not known` : `${title} ${percent(ratio)}`)}<div class="foot"><span>${foot}</span></div></div>`
  const share = (part: number) => (allocated.vms === 0 ? 0 : part / allocated.vms)
  const memory = used(load?.memoryUsedBytes ?? null, load?.memoryTotalBytes ?? 0)
  const storage = used(load?.storageUsedBytes ?? null, load?.storageTotalBytes ?? 0)
  return html`<section class="grid same live" id="node-figures" aria-label="Figures of ${node.name}">
<div class="card stat c3"><h2>${icon(frame, 'vm')}VMs</h2><div class="v">${count(allocated.vmsRunning)} <small>of ${count(allocated.vms)} running</small></div>${partsBar([{ fill: 'o', ratio: share(allocated.vmsRunning) }, { fill: 'q', ratio: share(allocated.vms - allocated.vmsRunning) }], `${count(allocated.vmsRunning)} of ${count(allocated.vms)} VMs running`)}<div class="foot"><span>${count(allocated.cpus)} CPU promised</span></div></div>
${card('cpu', 'CPU', load?.cpuRatio ?? null, load === null ? unknown : String(Math.round(load.cpuRatio * 100)), `% of ${many(capacity.cpus, 'thread')}`, load === null ? 'not heard of' : `loop delay ${load.loopDelayMs.toFixed(1)} ms`)}
${card('memory', 'Memory', memory, load === null ? unknown : bytes(load.memoryUsedBytes), load === null ? '' : `of ${bytes(load.memoryTotalBytes)}`, `${mebibytes(allocated.memoryMiB)} of ${mebibytes(capacity.memoryMiB)} promised`)}
${card('storage', 'Storage', storage, load === null ? unknown : bytes(load.storageUsedBytes), load === null ? '' : `of ${bytes(load.storageTotalBytes)}`, 'pool local')}
</section>`
}

export function nodeCells(data: NodeDetails): Html {
  return html`<section class="card live" id="node-cells" aria-labelledby="cell-h"><header><div><h2 id="cell-h">${many(data.vmsTotal, 'VM')}</h2><p>One square is one VM.</p></div><a href="/vms?q=node%3A${data.node.name}">Show as list</a></header><div class="in">${data.vms.length === 0 ? html`<p class="dim">No VM is here.</p>` : vmCells(data.vms.map((vm) => vm.status.phase), data.node.name, 24)}</div></section>`
}

const rowsMax = 25

export function nodeVms(frame: Frame, data: NodeDetails): Html {
  if (data.vms.length === 0) return html`<div id="node-vms"></div>`
  return html`<section class="card live" id="node-vms" aria-label="VMs on ${data.node.name}"><table role="table" class="tbl cards"><caption class="vh">VMs on ${data.node.name}</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col">Size</th><th role="columnheader" scope="col" class="w1">Address</th></tr></thead><tbody role="rowgroup">${data.vms.slice(0, rowsMax).map(
    (vm) => html`<tr role="row" id="nv-${vm.id}"><th role="rowheader" scope="row" class="a-name"><a class="name" href="${vmPath(vm)}">${vm.name}</a></th><td role="cell" class="a-sub">${state(frame, vmStateWords[vm.status.phase])}</td><td role="cell" class="a-end">${vmSize(vm)}</td><td role="cell" class="w1 mono">${vm.status.addresses[0] ?? unknown}</td></tr>`,
  )}</tbody></table>${data.vmsTotal > rowsMax ? html`<footer><a href="/vms?q=node%3A${data.node.name}">All ${count(data.vmsTotal)}</a></footer>` : ''}</section>`
}

export function nodeFacts(frame: Frame, node: Node): Html {
  const { status } = node
  return html`<section class="card live" id="node-facts" aria-labelledby="kk-h"><header><h2 id="kk-h">Details</h2></header><div class="in"><dl class="kv"><dt>Version</dt><dd>${status.version === '' ? unknown : status.version}</dd><dt>Hypervisor</dt><dd>${status.hypervisor === '' ? unknown : status.hypervisor}</dd><dt>Up</dt><dd>${status.load === null ? unknown : duration(status.load.uptimeSeconds * 1000)}</dd><dt>Heard of</dt><dd>${status.lastSeenAt === null ? unknown : agoTag(frame, status.lastSeenAt)}</dd><dt>Round trip</dt><dd>${status.rttMs === null ? unknown : `${status.rttMs.toFixed(2)} ms`}</dd><dt>Page</dt><dd><a href="${status.url}">${status.url}</a></dd><dt>Id</dt><dd class="mono">${node.id}</dd></dl></div></section>`
}
