// The list of nodes: state, role, load, and the consensus they form.
import { html } from 'hono/html'
import type { ClusterView } from '../../src/model/cluster.ts'
import type { DiscoveredNode, Node } from '../../src/model/node.ts'
import { bytes, count, duration, many, percent, unknown } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { nodesFound } from './node-membership.ts'
import { asOf } from './note.ts'
import { fullnessMark, quorumRing, ratioBar } from './picture.ts'
import { nodeStateWord, roleIcons, state } from './state.ts'

export type NodeList = { readonly nodes: readonly Node[]; readonly cluster: ClusterView; readonly found: readonly DiscoveredNode[]; /** CPU of the last hour, by id. */ readonly sparks: ReadonlyMap<string, Html> }

export function nodesPage(frame: Frame, data: NodeList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Nodes</h1>${asOf(frame)}</div>${nodesLine(data)}</div><div class="row"><a class="btn main" href="/access#join">${icon(frame, 'plus')}Add node</a></div></div>
${nodesFound(frame, data.found)}
${nodesTable(frame, data)}
${nodesConsensus(frame, data)}`
}

/** Live cells. */
export function nodesLine(data: NodeList): Html {
  const { voters, learners } = data.cluster
  const majority = Math.floor(voters.length / 2) + 1
  const spare = voters.length - majority
  const fate = !data.cluster.quorum ? `Nothing can be changed now: ${many(majority, 'voter')} must be in touch.` : spare === 0 ? 'The cluster stops changing when one of them is lost.' : spare === 1 ? 'The cluster goes on when any one of them is lost.' : `The cluster goes on when any ${spare} of them are lost.`
  return html`<p id="nodes-line">${many(voters.length, 'voter')}, ${learners.length === 0 ? 'no learners' : many(learners.length, 'learner')}. ${fate}</p>`
}

export function nodesTable(frame: Frame, { nodes, sparks }: Pick<NodeList, 'nodes' | 'sparks'>): Html {
  return html`<section class="card live" id="nodes-table" aria-label="Node list"><table role="table" class="tbl cards stick" data-rows><caption class="vh">Nodes</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col" class="w1">Role</th><th role="columnheader" scope="col" class="w2">Address</th><th role="columnheader" scope="col" class="num">VMs</th><th role="columnheader" scope="col" class="w0">CPU</th><th role="columnheader" scope="col" class="w1">Memory</th><th role="columnheader" scope="col" class="w2">Storage</th><th role="columnheader" scope="col" class="w3 num">Up</th></tr></thead><tbody role="rowgroup">${nodes.map((node) => nodeRow(frame, node, sparks.get(node.id)))}</tbody></table></section>`
}

function nodeRow(frame: Frame, node: Node, spark: Html | undefined): Html {
  const { status } = node
  const { load } = status
  const meter = (used: number, of: number, what: string) => (of === 0 ? unknown : html`<span class="meter">${ratioBar(used / of, `${what} ${percent(used / of)}`)}<span class="nowrap">${bytes(used)}${fullnessMark(frame, used / of)}</span></span>`)
  return html`<tr role="row" id="node-${node.id}"><th role="rowheader" scope="row" class="a-name"><a class="name" href="/nodes/${node.name}">${node.name}</a></th><td role="cell" class="a-sub">${state(frame, nodeStateWord(node))}<span class="p-only dim"> · ${status.role}</span></td><td role="cell" class="w1"><span class="state">${icon(frame, roleIcons[status.role], status.role === 'leader' ? 'go' : '')}${status.role}</span></td><td role="cell" class="w2 mono">${status.addresses[0] ?? unknown}</td><td role="cell" class="num a-end">${count(status.allocated.vms)}<span class="p-only dim"> VMs</span></td><td role="cell" class="w0">${
    spark ?? (load === null ? unknown : html`<span class="meter">${ratioBar(load.cpuRatio, `CPU ${percent(load.cpuRatio)}`)}<span>${percent(load.cpuRatio)}</span></span>`)
  }</td><td role="cell" class="w1">${load === null ? unknown : meter(load.memoryUsedBytes, load.memoryTotalBytes, 'memory')}</td><td role="cell" class="w2">${load === null ? unknown : meter(load.storageUsedBytes, load.storageTotalBytes, 'storage')}</td><td role="cell" class="w3 num nowrap dim">${load === null ? unknown : duration(load.uptimeSeconds * 1000)}</td></tr>`
}

export function nodesConsensus(frame: Frame, data: NodeList): Html {
  const { cluster } = data
  const versions = [...new Set(data.nodes.map((node) => node.status.version).filter((version) => version !== ''))]
  const word = frame.cluster.quorum ? ({ word: 'Healthy', tone: 'ok', icon: 's-ok' } as const) : ({ word: 'No quorum', tone: 'bad', icon: 's-offline' } as const)
  return html`<section class="card live" id="nodes-raft" aria-labelledby="q-h"><header><div><h2 id="q-h">Consensus</h2><p>${count(Math.floor(cluster.voters.length / 2) + 1)} of ${count(cluster.voters.length)} votes decide</p></div>${state(frame, word, { pill: true })}<a href="/consensus">Members and lag</a></header><div class="in row wide">${quorumRing(frame, data.nodes)}<dl class="kv grow"><dt>Leader</dt><dd>${cluster.leader ?? 'none'}</dd><dt>Term</dt><dd>${count(cluster.term)}</dd><dt>Committed</dt><dd>${count(cluster.commitIndex)}</dd><dt>Applied here</dt><dd>${count(cluster.appliedIndex)}</dd><dt>Versions</dt><dd>${versions.length === 0 ? unknown : versions.join(', ')}</dd></dl></div></section>`
}
