// What was measured, as callers may see it: windows, gaps, shares, sorting, and nothing of what is not theirs.
import { expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import type { Caller, ListQuery, SeriesQuery } from '../../../src/app/face.ts'
import { MeasureUseCases } from '../../../src/app/measures.ts'
import { appMetrics } from '../../../src/app/metrics.ts'
import { MetricsHistory } from '../../../src/gossip/metrics-history.ts'
import { nodeFields } from '../../../src/model/metrics.ts'
import { World } from '../state/world.ts'

const startMs = 1_800_000_000_000
const list: ListQuery = { limit: 100, after: null, sort: null, filter: null }
const tenMinutes: SeriesQuery = { rangeSeconds: 600, stepSeconds: null }

/** Half an hour of samples: the node half busy, `web` at half a core of its one CPU, `db` off. */
function desk() {
  const world = new World()
  const { nodeId, adminId } = world.form()
  world.image(nodeId)
  const [web, db] = [world.vm(nodeId, 'web'), world.vm(nodeId, 'db')]
  const { state } = world
  const time = { nowMs: startMs }
  const history = new MetricsHistory({ ownerOf: (id) => state.tables.vm.get(id)?.assignment?.nodeId ?? null })
  const cpus = state.tables.vm.get(web)?.spec.cpus ?? 1
  for (let at = 0; at < 360; at++, time.nowMs += 5_000) {
    const figures: Readonly<Record<string, number>> = { cpus: 2, cpuSeconds: at * 10, cpuBusySeconds: at * 5, memoryTotalBytes: 1000, memoryUsedBytes: 400, storageTotalBytes: 50, storageUsedBytes: 5, httpRequests: at }
    history.note(nodeId, {
      sequence: at + 1, part: 0, atMs: at * 5_000, full: true, last: true, gone: [], node: nodeFields.map(({ key }) => figures[key] ?? 0),
      vms: [{ id: web, values: [at * 2.5 * cpus, 2 ** 20, 2 ** 21], disks: [{ name: 'vda', values: [at * 500, 0, 0, 0] }], nics: [] }],
    }, time.nowMs)
  }
  const port = { nowMs: () => time.nowMs, node: (id: string) => history.node(id), vm: (id: string) => history.vm(id), nodeIds: () => history.nodeIds(), vmIds: () => history.vmIds() }
  const ports = {
    clock: { nowMs: () => time.nowMs, monotonicMs: () => time.nowMs, after: () => () => undefined, every: () => () => undefined },
    consensus: { state, status: () => ({ quorum: true, halted: null, divergence: null, troubles: [], leaderId: nodeId, configuration: { voters: [nodeId], learners: [] } }), agreement: () => ({ index: 7, dissenters: [] }), report: () => ({ lastIndex: 20, followers: { [nodeId]: { match: 17, heardMs: 40 }, gone: { match: 3, heardMs: null } } }) }, presence: { of: () => null }, history: port,
  } as unknown as AppPorts
  const context = new AppContext({ nodeId, version: '0' }, ports)
  const callerWith = (scope: string): Caller => ({ actor: { kind: 'user', id: adminId, name: 'anna', address: '' }, userId: adminId, userName: 'anna', bindings: [{ role: 'viewer', scope }], session: null })
  return { measures: new MeasureUseCases(context), context, time, nodeId, web, db, nodeName: state.tables.node.get(nodeId)?.name ?? '', all: callerWith('cluster'), own: callerWith('project:default'), other: callerWith('project:other') }
}

const seriesOf = (view: { readonly series: readonly { readonly name: string; readonly latest: number | null; readonly points: readonly (number | null)[] }[] }, name: string) => view.series.find((each) => each.name === name)

test('series: at most 120 points, in the step asked for, with the value of now', () => {
  const { measures, all, nodeName } = desk()
  const fine = measures.node(all, nodeName, tenMinutes)
  expect(fine).toMatchObject({ kind: 'node', name: nodeName, stepSeconds: 5, stale: false, limits: { cpus: 2, memoryBytes: 1000, storageBytes: 50 } })
  const cpu = seriesOf(fine, 'cpu')
  expect(cpu?.points).toHaveLength(120)
  expect(cpu?.latest).toBeCloseTo(0.5)
  expect(seriesOf(fine, 'requests')?.latest).toBeCloseTo(0.2)
  expect(Date.parse(fine.startAt) + 120 * 5_000).toBe(startMs + 360 * 5_000)
  const hour = measures.node(all, nodeName, { rangeSeconds: 3600, stepSeconds: null })
  expect(hour.stepSeconds).toBe(30)
  const points = seriesOf(hour, 'cpu')?.points ?? []
  expect(points).toHaveLength(120)
  expect(points.slice(0, 58).every((point) => point === null)).toBe(true)
  expect(points.slice(62).every((point) => point !== null && Math.abs(point - 0.5) < 0.01)).toBe(true)
  expect(measures.vm(all, 'web', { rangeSeconds: 300, stepSeconds: 60 }).series[0]?.points).toHaveLength(5)
})

test('a VM\'s CPU is a share of its own; what is not counted is unknown; one that is off has nothing now', () => {
  const { measures, all } = desk()
  const web = measures.vm(all, 'web', tenMinutes)
  expect(seriesOf(web, 'cpu')?.latest).toBeCloseTo(0.5)
  expect(seriesOf(web, 'read')?.latest).toBeCloseTo(100)
  expect(seriesOf(web, 'receive')).toMatchObject({ latest: null })
  expect(measures.vm(all, 'db', tenMinutes)).toMatchObject({ heardAt: null, stale: false })
  expect(measures.vmUsage(all, list).items.map(({ name, cpuRatio }) => [name, cpuRatio === null])).toEqual([['web', false], ['db', true]])
  expect(measures.vmUsage(all, { ...list, sort: 'name' }).items.map(({ name }) => name)).toEqual(['db', 'web'])
})

test('a node that falls silent is stale after 20 seconds: a gap, nothing of now, no figures for Prometheus', () => {
  const { measures, context, all, time, nodeName } = desk()
  time.nowMs += 60_000
  const view = measures.node(all, nodeName, tenMinutes)
  expect(view.stale).toBe(true)
  expect(seriesOf(view, 'cpu')?.latest).toBeNull()
  expect(seriesOf(view, 'cpu')?.points.slice(-11)).toEqual(Array.from({ length: 11 }, () => null))
  expect(seriesOf(view, 'cpu')?.points.slice(0, 100).every((point) => point !== null)).toBe(true)
  expect(measures.vm(all, 'web', tenMinutes).stale).toBe(true)
  expect(measures.cluster(all, tenMinutes)).toMatchObject({ stale: true, series: [{ name: 'cpu', latest: null }, {}, {}, {}, {}, {}, {}] })
  const metrics = appMetrics(context, all, 'cluster')
  expect(metrics.find(({ name }) => name === 'novacron_node_metrics_fresh')?.value).toBe(0)
  expect(metrics.filter(({ name }) => name === 'novacron_raft_role').map(({ labels, value }) => [labels?.['role'], value])).toEqual([['leader', 1], ['voter', 0], ['learner', 0], ['none', 0]])
  expect(metrics.some(({ name }) => name === 'novacron_node_memory_used_bytes' || name.startsWith('novacron_vm_'))).toBe(false)
})

test('a step that does not fit is refused, and so is what is not there', () => {
  const { measures, all, nodeName } = desk()
  for (const query of [{ rangeSeconds: 600, stepSeconds: 7 }, { rangeSeconds: 3600, stepSeconds: 5 }, { rangeSeconds: 60, stepSeconds: 120 }]) {
    expect(() => measures.node(all, nodeName, query), JSON.stringify(query)).toThrow(expect.objectContaining({ code: 'INVALID' }))
  }
  expect(() => measures.node(all, 'none', tenMinutes)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
  expect(() => measures.vm(all, 'none', tenMinutes)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
})

test('who belongs to a project sees its VMs and no nodes; who belongs to another sees nothing', () => {
  const { measures, context, own, other, nodeId, nodeName, web } = desk()
  expect(seriesOf(measures.vm(own, 'web', tenMinutes), 'cpu')?.latest).toBeCloseTo(0.5)
  for (const caller of [own, other]) {
    expect(() => measures.node(caller, nodeName, tenMinutes)).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }))
    expect(() => measures.cluster(caller, tenMinutes)).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }))
    expect(() => measures.nodeUsage(caller, list)).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }))
    expect(measures.usageOf(caller, 'node', nodeId)).toBeNull()
  }
  expect(() => measures.vm(other, 'web', tenMinutes)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
  expect(measures.vmUsage(other, list).items).toEqual([])
  expect(measures.sparks(other, 'vm', [web]).size).toBe(0)
  expect(measures.sparks(own, 'vm', [web]).get(web)).toHaveLength(30)
  expect([...new Set(appMetrics(context, own, 'cluster').map(({ name }) => name.split('_')[1]))]).toEqual(['vm'])
  expect(appMetrics(context, other, 'cluster')).toEqual([])
})
