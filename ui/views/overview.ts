// The overview: a sentence of health, figures, the cluster as a drawing, what needs attention, recent operations.
import { html } from 'hono/html'
import type { ClusterView } from '../../src/model/cluster.ts'
import type { Node } from '../../src/model/node.ts'
import type { Operation } from '../../src/model/operation.ts'
import type { Vm, VmPhase } from '../../src/model/vm.ts'
import { ageTag, bytes, count, many, percent } from './figures.ts'
import { changeLink } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf } from './note.ts'
import { operationTable } from './operations.ts'
import { fullness, fullnessMark, highRatio, partsBar, quorumRing, ratioBar, vmCells } from './picture.ts'
import { nodeStateWord, state, vmStateWords, noQuorumReason } from './state.ts'
import { vmPath } from './vm-words.ts'

export type Overview = {
  readonly cluster: ClusterView
  readonly nodes: readonly Node[]
  /** Null where there are too many to draw one by one. */
  readonly vms: readonly Vm[] | null
  readonly phases: Readonly<Record<string, number>>
  readonly troubled: readonly Vm[]
  readonly operations: readonly Operation[]
  readonly charts: Html
}

export function overviewPage(frame: Frame, data: Overview): Html {
  const total = vmTotal(data)
  if (total === 0 && data.operations.length === 0) return firstRun(frame, data)
  return html`<div class="head"><div>${overviewHead(frame, data)}</div><div class="row">${changeLink(frame, { href: '/vms/new', text: 'Create VM', icon: 'plus', look: 'main', key: 'c' })}</div></div>
${overviewFigures(frame, data)}
${data.charts}
<div class="grid">
${overviewMap(frame, data)}
${overviewAttention(frame, data)}
<section class="card c8 live" aria-labelledby="ops-h"><header><h2 id="ops-h">Recent operations</h2><a href="/operations">All operations</a></header>${overviewOperations(frame, data.operations)}</section>
${overviewConsensus(data)}
</div>`
}

function vmTotal(data: Overview): number {
  return Object.values(data.phases).reduce((sum, value) => sum + value, 0)
}

export type Attention = { readonly tone: 'bad' | 'warn'; readonly icon: string; readonly title: string; readonly href: string; readonly text: string; readonly since: string | null }

/** So many keep the card as high as the drawing beside it. */
const attentionShown = 4

/** What a person should look at, worst first. */
export function attentionOf(data: Overview): Attention[] {
  const nodes: Attention[] = data.nodes
    .filter((node) => !node.status.ready)
    .map((node) => ({ tone: 'bad', icon: 's-offline', title: node.status.reason === noQuorumReason ? `${node.name} has no quorum` : `${node.name} cannot be reached`, href: `/nodes/${node.name}`, text: node.status.reason === '' ? 'Its VMs may go on running there.' : node.status.reason, since: node.status.lastSeenAt }))
  const vms: Attention[] = data.troubled.map((vm) => ({
    tone: vm.status.phase === 'failed' ? 'bad' : 'warn',
    icon: vm.status.phase === 'failed' ? 's-failed' : 's-unknown',
    title: vm.status.phase === 'failed' ? `${vm.name} failed` : `${vm.name}: state not known`,
    href: vmPath(vm),
    text: vm.status.message === '' ? 'No reason was reported.' : vm.status.message,
    since: null,
  }))
  const full: Attention[] = data.nodes.flatMap((node) => {
    const load = node.status.load
    if (load === null) return []
    const shares = [['memory', load.memoryUsedBytes, load.memoryTotalBytes], ['storage', load.storageUsedBytes, load.storageTotalBytes]] as const
    return shares
      .filter(([, used, of]) => of > 0 && used / of > highRatio)
      .map(([what, used, of]): Attention => ({ tone: fullness(used / of) === 'x' ? 'bad' : 'warn', icon: 's-warn', title: `The ${what} of ${node.name} is ${percent(used / of)} full`, href: `/nodes/${node.name}`, text: `${bytes(Math.max(0, of - used))} are free.`, since: null }))
  })
  return [...nodes, ...vms, ...full].sort((left, right) => (left.tone === right.tone ? 0 : left.tone === 'bad' ? -1 : 1))
}

/** First line and the sentence below it: a live cell. */
export function overviewHead(frame: Frame, data: Overview): Html {
  const attention = attentionOf(data).length
  const running = frame.counts.operationsRunning
  const lost = data.nodes.filter((node) => !node.status.ready)
  const health = !frame.cluster.quorum
    ? 'What this node still knows'
    : lost.length > 0
      ? `${lost.length === 1 ? lost[0]?.name : `${count(lost.length)} nodes`} cannot be reached, the cluster goes on`
      : attention === 0
        ? 'Cluster healthy'
        : `Cluster healthy, ${count(attention)} ${attention === 1 ? 'thing needs' : 'things need'} attention`
  return html`<div id="ov-head"><div class="row title"><h1>${health}</h1>${asOf(frame)}</div><p>${count(data.cluster.nodesReady)} of ${many(data.cluster.nodes, 'node')} ready. ${spareSentence(frame)} ${
    running === 0 ? 'No operation is under way.' : `${many(running, 'operation')} under way.`
  }</p></div>`
}

/** How many voters may still fail. */
function spareSentence(frame: Frame): string {
  const { quorum, voters, votersReady } = frame.cluster
  if (!quorum) return 'Figures stand still until this node hears from the others.'
  const spare = votersReady - (Math.floor(voters / 2) + 1)
  if (spare <= 0) return voters === 1 ? 'With one voter the cluster stops when it fails.' : 'No further voter may fail, else nothing can be changed.'
  return spare === 1 ? 'Any one of them may fail and the others still decide.' : `Any ${count(spare)} of them may fail and the others still decide.`
}

type Sum = { readonly used: number; readonly of: number }

function sumLoad(nodes: readonly Node[], pick: (load: NonNullable<Node['status']['load']>) => Sum): Sum {
  return nodes.reduce<Sum>(
    (sum, node) => {
      if (node.status.load === null) return sum
      const one = pick(node.status.load)
      return { used: sum.used + one.used, of: sum.of + one.of }
    },
    { used: 0, of: 0 },
  )
}

/** The four figures: a live cell. */
export function overviewFigures(frame: Frame, data: Overview): Html {
  const total = vmTotal(data)
  const phase = (name: VmPhase) => data.phases[name] ?? 0
  const off = phase('stopped') + phase('suspended')
  const other = total - phase('running') - off - phase('paused') - phase('failed') - phase('unknown')
  const share = (value: number) => (total === 0 ? 0 : value / total)
  const foot = [`${count(off)} off`, phase('paused') > 0 ? `${count(phase('paused'))} paused` : '', other > 0 ? `${count(other)} changing` : '', phase('unknown') > 0 ? `${count(phase('unknown'))} unknown` : ''].filter((part) => part !== '').join(' · ')
  const cpu = data.nodes.filter((node) => node.status.load !== null)
  const threads = data.nodes.reduce((sum, node) => sum + node.status.capacity.cpus, 0)
  const busy = cpu.reduce((sum, node) => sum + (node.status.load?.cpuRatio ?? 0) * node.status.capacity.cpus, 0)
  const busyOf = cpu.reduce((sum, node) => sum + node.status.capacity.cpus, 0)
  const memory = sumLoad(data.nodes, (load) => ({ used: load.memoryUsedBytes, of: load.memoryTotalBytes }))
  const storage = sumLoad(data.nodes, (load) => ({ used: load.storageUsedBytes, of: load.storageTotalBytes }))
  const allocated = data.nodes.reduce((sum, node) => sum + node.status.allocated.memoryMiB, 0)
  const cpuRatio = busyOf === 0 ? null : busy / busyOf
  const promisedCpus = data.nodes.reduce((sum, node) => sum + node.status.allocated.cpus, 0)
  const disks = data.vms?.flatMap((vm) => vm.spec.disks) ?? null
  // A disk as large as its image says no size.
  const promisedBytes = disks === null || disks.some((disk) => disk.sizeGiB === undefined) ? null : disks.reduce((sum, disk) => sum + (disk.sizeGiB ?? 0), 0) * 2 ** 30
  return html`<section aria-label="Cluster figures" class="grid same live" id="figures">
<a class="card stat c3" href="/vms"><h2>${icon(frame, 'vm')}Virtual machines</h2><div class="v">${count(phase('running'))} <small>of ${count(total)} running</small></div>${partsBar(
    [{ fill: 'o', ratio: share(phase('running')) }, { fill: 'q', ratio: share(off) }, { fill: 'w', ratio: share(phase('paused')) }, { fill: 'x', ratio: share(phase('failed')) }, { fill: 'a', ratio: share(other) }],
    `${count(phase('running'))} running, ${foot}, ${count(phase('failed'))} failed`,
  )}<div class="foot"><span>${foot}</span>${phase('failed') > 0 ? state(frame, vmStateWords.failed, { text: `${count(phase('failed'))} failed` }) : ''}</div></a>
${statCard(frame, { icon: 'cpu', title: 'CPU', value: cpuRatio === null ? '–' : String(Math.round(cpuRatio * 100)), small: `% of ${many(threads, 'thread')}`, ratio: cpuRatio, promised: threads === 0 ? null : promisedCpus / threads, foot: ['now', `${count(promisedCpus)} promised to VMs`] })}
${statCard(frame, { icon: 'memory', title: 'Memory', ...sizeOf(memory), promised: memory.of === 0 ? null : (allocated * 2 ** 20) / memory.of, foot: [memory.of === 0 ? '' : `${bytes(memory.of - memory.used)} free`, `${bytes(allocated * 1024 * 1024)} promised`] })}
${statCard(frame, { icon: 'storage', title: 'Storage', ...sizeOf(storage), promised: storage.of === 0 || promisedBytes === null ? null : promisedBytes / storage.of, foot: [storage.of === 0 ? '' : `${bytes(storage.of - storage.used)} free`, promisedBytes === null ? 'pool local, all nodes' : `${bytes(promisedBytes)} promised`] })}
</section>`
}

function sizeOf(sum: Sum): { readonly value: string; readonly small: string; readonly ratio: number | null } {
  if (sum.of === 0) return { value: '–', small: 'not heard of yet', ratio: null }
  const [value = '', unit = ''] = bytes(sum.used).split('\u00a0')
  const [of = '', ofUnit = ''] = bytes(sum.of).split('\u00a0')
  return { value, small: unit === ofUnit ? `of ${of} ${unit}` : `${unit} of ${of} ${ofUnit}`, ratio: sum.used / sum.of }
}

function statCard(frame: Frame, stat: { readonly icon: string; readonly title: string; readonly value: string; readonly small: string; readonly ratio: number | null; /** Promised to VMs. */ readonly promised: number | null; readonly foot: readonly [string, string] }): Html {
  return html`<a class="card stat c3" href="/nodes"><h2>${icon(frame, stat.icon)}${stat.title}</h2><div class="v">${stat.value} <small>${stat.small}${stat.ratio === null ? '' : fullnessMark(frame, stat.ratio)}</small></div>${ratioBar(stat.ratio ?? 0, stat.ratio === null ? `${stat.title}: not known` : `${stat.title} ${percent(stat.ratio)} used${stat.promised === null ? '' : `, ${percent(stat.promised)} promised to VMs`}`, stat.promised === null || stat.promised === 0 ? {} : { markRatio: Math.min(1, stat.promised) })}<div class="foot"><span>${stat.foot[0]}</span><span>${stat.foot[1]}</span></div></a>`
}

/** Ring of voters and the nodes with their VMs: a live cell. */
export function overviewMap(frame: Frame, data: Overview): Html {
  const { cluster } = frame
  const leader = cluster.leader === null ? 'no leader is known' : `${cluster.leader.name} leads`
  return html`<section class="card c8 live" id="ov-map" aria-labelledby="map-h"><header><div><h2 id="map-h">Cluster</h2><p>Term ${count(data.cluster.term)}, ${leader}. One square is one VM.</p></div>${state(frame, cluster.quorum ? { word: 'Quorum', tone: 'ok', icon: 's-ok' } : { word: 'No quorum', tone: 'bad', icon: 's-offline' }, { pill: true, text: `${cluster.quorum ? 'Quorum' : 'No quorum,'} ${cluster.votersReady} of ${cluster.voters}` })}</header>
<div class="in map" id="map">${quorumRing(frame, data.nodes)}<ul>${data.nodes.map((node) => mapRow(frame, node, data.vms))}</ul></div></section>`
}

function mapRow(frame: Frame, node: Node, vms: readonly Vm[] | null): Html {
  const { load, allocated } = node.status
  const cells = vms === null ? html`<p class="small dim">${count(allocated.vmsRunning)} of ${many(allocated.vms, 'VM')} run</p>` : vmCells(vms.filter((vm) => vm.status.nodeId === node.id).map((vm) => vm.status.phase), node.name)
  const meter = (name: string, ratio: number | null) => html`<span>${name}</span>${ratioBar(ratio ?? 0, ratio === null ? `${name} not known` : `${name} ${percent(ratio)}`)}<span>${ratio === null ? '–' : percent(ratio)}${ratio === null ? '' : fullnessMark(frame, ratio)}</span>`
  return html`<li><div><a class="name plain b" href="/nodes/${node.name}">${node.name}</a><div class="row small dim">${state(frame, nodeStateWord(node))}<span>${node.status.role === 'none' ? '' : node.status.role}</span></div></div>${cells}<div class="meters">${meter('CPU', load === null ? null : load.cpuRatio)}${meter('Mem', load === null || load.memoryTotalBytes === 0 ? null : load.memoryUsedBytes / load.memoryTotalBytes)}</div></li>`
}

/** What needs attention: a live cell. */
export function overviewAttention(frame: Frame, data: Overview): Html {
  const list = attentionOf(data)
  return html`<section class="card c4" id="ov-attention" aria-labelledby="att-h"><header><h2 id="att-h">Needs attention</h2>${list.length === 0 ? '' : html`<span class="pill">${count(list.length)}</span>`}</header>${
    list.length === 0
      ? html`<div class="in row">${icon(frame, 's-ok', 'ok')}<span>Nothing waits for you.</span></div>`
      : html`<ul class="list">${list.slice(0, attentionShown).map((entry) => html`<li>${icon(frame, entry.icon, entry.tone)}<div class="grow"><a class="plain b" href="${entry.href}">${entry.title}</a><p>${entry.text}</p></div>${entry.since === null ? '' : ageTag(frame, entry.since)}</li>`)}</ul>${list.length > attentionShown ? html`<footer>and ${count(list.length - attentionShown)} more</footer>` : ''}`
  }</section>`
}

/** A live cell. */
export function overviewOperations(frame: Frame, operations: readonly Operation[]): Html {
  return html`<div id="ov-ops">${operations.length === 0 ? html`<p class="in dim">Nothing was done yet.</p>` : operationTable(frame, operations, { id: 'ops', rows: false })}</div>`
}

/** Log and voters: a live cell. */
export function overviewConsensus(data: Overview): Html {
  const { cluster } = data
  return html`<section class="card c4 live" id="ov-raft" aria-labelledby="raft-h"><header><h2 id="raft-h">Consensus</h2></header><div class="in"><dl class="kv"><dt>Leader</dt><dd>${cluster.leader ?? 'none'}</dd><dt>Term</dt><dd>${count(cluster.term)}</dd><dt>Voters</dt><dd>${cluster.voters.join(', ')}</dd>${cluster.learners.length === 0 ? '' : html`<dt>Learners</dt><dd>${cluster.learners.join(', ')}</dd>`}<dt>Committed</dt><dd>${count(cluster.commitIndex)}</dd><dt>Applied here</dt><dd>${count(cluster.appliedIndex)}</dd></dl></div></section>`
}

function firstRun(frame: Frame, data: Overview): Html {
  const command = 'novacron vm create web --image tiny --start'
  return html`<section class="card empty" id="first-run">${quorumRing(frame, data.nodes)}<h1>Your cluster is ready</h1><p>${many(data.cluster.nodes, 'node')} agreed on ${data.cluster.leader === null ? 'a' : data.cluster.leader} as leader. Any of them answers for all. Create your first VM: a name and an image are enough.</p><div class="row">${changeLink(frame, { href: '/vms/new', text: 'Create your first VM', icon: 'plus', look: 'main big', key: 'c' })}<a class="btn big" href="/images">${icon(frame, 'upload')}Upload an image</a></div></section>
<section class="grid same" aria-label="Next steps"><div class="card stat c4"><h2>${icon(frame, 'image')}Images</h2><p>${frame.counts.images === 0 ? 'No image is here yet.' : `${many(frame.counts.images, 'image')} to start from.`} Upload a qcow2 or raw file to add one.</p><p><a href="/images">Images</a></p></div><div class="card stat c4"><h2>${icon(frame, 'node')}Nodes</h2><p>${many(data.cluster.nodesReady, 'node')} ready. A join token adds another.</p><p><a href="/access#join">Make a join token</a></p></div><div class="card stat c4"><h2>${icon(frame, 'access')}People</h2><p>Change your password, add a colleague or make a token for a script.</p><p><a href="/access">Access</a></p></div></section>
<section class="card" aria-labelledby="cl-h"><header><div><h2 id="cl-h">Prefer a terminal?</h2><p>The same in one line, on any node or from your laptop</p></div></header><div class="in row far"><code>${command}</code><button type="button" class="btn" data-do="copy" data-text="${command}">${icon(frame, 'copy')}Copy</button></div></section>`
}

