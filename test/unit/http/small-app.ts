// A cluster of one in memory, as small as the HTTP face needs to be exercised: what the use cases answer is not tested here.
import { setTimeout as delay } from 'node:timers/promises'
import type { App, Caller, Control, ListQuery, Page, SupportBundle, Watcher, WriteOptions } from '../../../src/app/face.ts'
import type { Divergence } from '../../../src/model/checkpoint.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { Event } from '../../../src/model/event.ts'
import type { ClusterMembers } from '../../../src/model/member.ts'
import type { MetricsView } from '../../../src/model/metrics.ts'
import type { Image } from '../../../src/model/image.ts'
import type { Migration } from '../../../src/model/migration.ts'
import type { DiscoveredNode, Node } from '../../../src/model/node.ts'
import type { AuditRecord } from '../../../src/model/audit.ts'
import type { Operation } from '../../../src/model/operation.ts'
import type { Project } from '../../../src/model/project.ts'
import type { RoleResource } from '../../../src/model/role.ts'
import type { SessionView } from '../../../src/model/session.ts'
import type { Token } from '../../../src/model/token.ts'
import { uploadCreateSchema, type Upload } from '../../../src/model/upload.ts'
import type { BundleLine } from '../../../src/model/support-bundle.ts'
import type { User } from '../../../src/model/user.ts'
import { vmCreateSchema, type Vm } from '../../../src/model/vm.ts'
import type { ByteStream } from '../../../src/ports/transport.ts'

export const token = 'nct_test'
export const session = 'session.test'
export const csrf = 'csrf-token'
const at = '2026-11-20T10:00:00.000Z'
export const uuid = (n: number) => `01890a5d-ac96-774b-bcce-${n.toString(16).padStart(12, '0')}`

export type SmallApp = App & {
  readonly events: Event[]
  readonly imported: { name: string; bytes: number }[]
  readonly writes: WriteOptions[]
  readonly calls: string[]
  emit(): Event
  resetWatchers(): void
  revoked: boolean
  stale: boolean
  diverged: Divergence | null
  watchers: Set<Watcher>
  credentialListeners: Set<() => void>
  console: 'echo' | 'busy'
}

const callerWith = (session: Caller['session']): Caller => ({
  actor: { kind: session === null ? 'token' : 'user', id: 'u1', name: 'admin', address: '' }, userId: 'u1', userName: 'admin',
  bindings: [{ role: 'administrator', scope: '*' }], session,
})
const page = <T>(items: readonly T[], query: ListQuery): Page<T> => ({ items: items.slice(0, query.limit), next: null, total: items.length })
const base = (id: string, name: string) => ({ id, name, project: '', labels: {}, revision: 7, generation: 1 })

const user: User = { ...base(uuid(0xb1), 'admin'), kind: 'user', spec: { displayName: '', disabled: false, bindings: [] }, status: { createdAt: at, passwordChangedAt: at, lastSeenAt: null } }
const apiToken: Token = { ...base(uuid(0xc1), 'ci'), kind: 'token', spec: {}, status: { user: 'admin', createdAt: at, expiresAt: null, revoked: false, lastUsedAt: null, lastUsedFrom: null, parent: null } }
const appliance: DiscoveredNode = { name: 'n4', address: '192.0.2.4:8443', fingerprint: 'ab'.repeat(32), version: '0.1.0', lastSeenAt: '2026-01-01T00:00:00.000Z' }
const node: Node = {
  ...base(uuid(0xd1), 'n1'), kind: 'node', spec: { schedulable: true, voting: 'auto' },
  status: {
    role: 'leader', ready: true, reason: '', version: '0', addresses: [], url: 'https://n1', accelerator: 'tcg', hypervisor: 'qemu', capacity: { cpus: 1, memoryMiB: 1, storageBytes: 1 },
    allocated: { cpus: 0, memoryMiB: 0, vms: 0, vmsRunning: 0 }, lastSeenAt: null, rttMs: null, conditions: [],
    load: { cpuRatio: 0.5, memoryUsedBytes: 1, memoryTotalBytes: 2, storageUsedBytes: 1, storageTotalBytes: 2, loopDelayMs: 1, uptimeSeconds: 9 },
  },
}
const timing = { heartbeatMs: 250, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 }
const members: ClusterMembers = {
  node: 'n1', leader: 'n1', term: 1, commitIndex: 7, quorum: true, stale: false, voters: 1, votersNeeded: 1, timing, notes: [],
  members: [{
    id: uuid(0xd1), name: 'n1', role: 'leader', voting: 'auto', state: 'leader', reachable: true, stale: false, term: 1, matchIndex: 7, commitIndex: 7, appliedIndex: 7, matchLag: 0, commitLag: 0, applyLag: 0,
    progress: 'replicate', lastContactMs: 0, logSyncMs: 2, loopDelayMs: 1, logEntries: 7, logBytes: 900, timing, version: '0', featureLevel: 3, halted: null, troubles: [],
  }],
}
let upload: Upload = { ...base(uuid(0xe2), 'big'), kind: 'upload', spec: { sizeBytes: 10 }, status: { offset: 0, node: 'n1', user: 'admin', createdAt: at, expiresAt: at } }
const image: Image = { ...base(uuid(0xe1), 'tiny'), kind: 'image', spec: { format: 'qcow2', sha256: 'a'.repeat(64), sizeBytes: 1, virtualSizeBytes: 1, os: '' }, status: { nodes: ['n1'], uses: 0, usedBy: { count: 0, names: [] }, copiesWanted: 2, fetching: [], createdAt: at, conditions: [] } }
const operation: Operation = {
  ...base(uuid(0xa1), 'o1'), kind: 'operation', spec: { operation: 'vm-start', target: { kind: 'vm', id: uuid(1), name: 'web' }, force: false, timeoutSeconds: 60 },
  status: { state: 'running', step: 0, steps: [], node: 'n1', actor: 'admin', startedAt: at, endedAt: null, error: null, cancellable: true },
}

const migration: Migration = {
  ...base(uuid(0xf1), 'vm-migrate-1'), kind: 'migration', spec: { vm: { id: uuid(1), name: 'web' }, from: { id: uuid(0xc1), name: 'n1' }, to: { id: uuid(0xc2), name: 'n2' }, live: true },
  status: { outcome: 'done', reason: '', actor: 'admin', bytes: 1, downtimeMs: 20, startedAt: at, endedAt: at, durationMs: 1, operation: uuid(0xa1) },
}
const binding: RoleResource = { ...base(uuid(0x91), 'anna-viewer-cluster'), kind: 'role', spec: { subject: { kind: 'user', name: 'anna' }, role: 'viewer', scope: 'cluster' }, status: { subjectId: uuid(0xb1) } }
const project: Project = { ...base(uuid(0x81), 'shop'), kind: 'project', spec: { description: '' }, status: { vms: 0, images: 0, createdAt: at } }
const seen: SessionView = { id: 's1', user: 'admin', userId: uuid(0xb1), address: '192.0.2.1', agent: 'test', node: 'n1', startedAt: at, lastSeenAt: at, expiresAt: at, current: true }
const records: AuditRecord[] = [{ id: '7', at, actor: '=admin', actorKind: 'user', address: '192.0.2.1', command: 'vm.create', target: 'web', outcome: 'refused', node: '', code: 'NO_FIT', detail: 'It fits on no node, "sorry".' }]

function one<T extends { id: string; name: string }>(items: readonly T[], ref: string): T {
  const found = items.find((item) => item.id === ref || item.name === ref)
  if (found === undefined) throw new OperationalError('NOT_FOUND', `${ref} does not exist.`)
  return found
}

export function createSmallApp(): SmallApp {
  const vms: Vm[] = []
  const app: Omit<SmallApp, keyof App> = { events: [], imported: [], writes: [], calls: [], revoked: false, stale: false, diverged: null, watchers: new Set(), credentialListeners: new Set(), console: 'echo', emit: () => emit(), resetWatchers: () => [...app.watchers].forEach((watcher) => watcher.reset()) }
  const emit = () => {
    const id = `${app.events.length + 1}.0`
    const event: Event = { id, at, type: 'updated', kind: 'vm', resourceId: 'x', name: 'x', project: '', message: 'm', reason: 'r', actor: 'a', commandId: 'c' }
    app.events.push(event)
    for (const watcher of app.watchers) watcher.event(event)
    return event
  }
  const write = (options: WriteOptions) => void app.writes.push(options)
  const face: App = {
    identity: {
      async signIn({ name, password }) {
        if (name !== 'admin' || password !== 'correct horse') throw new OperationalError('SIGN_IN_FAILED', 'User name or password is wrong.')
        return { cookie: session, expiresMs: Date.now() + 60_000, caller: callerWith({ id: 's1', expiresMs: Date.now() + 60_000, csrf }) }
      },
      signOut: async () => void app.calls.push('signOut'),
      authenticateSession: async (cookie) => (cookie === session && !app.revoked ? callerWith({ id: 's1', expiresMs: Date.now() + 60_000, csrf }) : null),
      authenticateToken: async (secret) => (secret === token && !app.revoked ? callerWith(null) : null),
      onCredentialChange: (listener) => { app.credentialListeners.add(listener); return () => app.credentialListeners.delete(listener) },
    },
    vms: {
      list: (_caller, query) => page(vms, query),
      get: (_caller, ref) => one(vms, ref),
      async create(_caller, body, options) {
        write(options)
        const parsed = vmCreateSchema.safeParse(body)
        if (!parsed.success) throw new OperationalError('INVALID', 'The input is not valid.', { data: { fields: parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message })) } })
        if (options.dryRun) return { dryRun: true, differences: [] }
        const vm: Vm = {
          ...base(uuid(vms.length + 1), parsed.data.name), kind: 'vm', spec: parsed.data.spec,
          status: { phase: 'pending', node: null, nodeId: null, epoch: 0, observedGeneration: 0, addresses: [], message: '', operation: null, createdAt: at, conditions: [] },
        }
        vms.push(vm)
        return vm
      },
      async replace(_caller, ref, _body, options) { write(options); return one(vms, ref) },
      async patch(_caller, ref, _body, options) {
        write(options)
        const vm = one(vms, ref)
        if (options.ifMatch !== null && options.ifMatch !== vm.revision) throw new OperationalError('PRECONDITION_FAILED', 'It was changed.')
        return vm
      },
      async act(_caller, ref, action, _body, options) { write(options); app.calls.push(action); one(vms, ref); return operation },
      async delete(_caller, ref, _body, options) { write(options); one(vms, ref); return operation },
      async recover(_caller, ref, _body, options) { write(options); return one(vms, ref) },
      explain: (_caller, ref) => {
        const vm = one(vms, ref)
        return { kind: 'vm', id: vm.id, name: vm.name, summary: `${vm.name} is ${vm.status.phase}.`, reasons: [], placement: { node: null, reason: '', considered: [] } }
      },
      async migrate(_caller, ref, _body, options) { write(options); one(vms, ref); return operation },
      migrationTargets: () => ({ node: null, reason: '', considered: [] }),
      counts: () => ({}),
    },
    consoles: {
      issue: (_caller, ref, body) => ({ type: 'serial', ticket: 'good', url: `/api/v1/vms/${one(vms, ref).id}/console?type=serial&ticket=good`, expiresAt: JSON.stringify(body) === '{}' ? at : '' }),
      async redeem(ticket, { ref }) {
        if (ticket !== 'good') throw new OperationalError('TICKET_INVALID', 'The ticket is not valid.')
        one(vms, ref)
        return {
          holds: () => !app.revoked,
          async open(signal) {
            if (app.console === 'busy') throw new OperationalError('CONSOLE_BUSY', 'The VM is not running.')
            return echo(signal)
          },
        }
      },
    },
    nodes: {
      list: (_caller, query) => page([node], query), get: (_caller, ref) => one([node], ref), patch: async (_caller, ref) => one([node], ref),
      remove: async (_caller, ref) => one([node], ref) && null,
      drain: async () => operation, uncordon: async (_caller, ref) => one([node], ref),
      discovered: () => ({ items: [appliance], next: null, total: 1 }),
      admit: async () => node,
    },
    uploads: {
      list: async () => ({ items: [], next: null, total: 0 }), get: async () => upload,
      async create(_caller, body) {
        const parsed = uploadCreateSchema.safeParse(body)
        if (!parsed.success) throw new OperationalError('INVALID', 'It is not valid.')
        upload = { ...upload, name: parsed.data.name, spec: parsed.data.spec, status: { ...upload.status, offset: 0 } }
        return upload
      },
      async append(_caller, _ref, source, { offset }) {
        if (offset !== upload.status.offset) throw new OperationalError('STATE_CONFLICT', `It goes on at ${upload.status.offset}.`)
        for await (const chunk of source) upload = { ...upload, status: { ...upload.status, offset: upload.status.offset + chunk.length } }
        return upload
      },
      async finish() {
        app.imported.push({ name: upload.name, bytes: upload.status.offset })
        return image
      },
      delete: async () => null,
    },
    images: {
      list: (_caller, query) => page([image], query), get: (_caller, ref) => one([image], ref),
      importUrl: async () => operation, patch: async (_caller, ref) => one([image], ref),
      async import(_caller, query, source, options) {
        write(options)
        if ((query as { name?: string }).name === undefined) throw new OperationalError('INVALID', 'The input is not valid.', { data: { fields: [{ path: 'name', message: 'is required' }] } })
        let bytes = 0
        for await (const chunk of source()) bytes += chunk.length
        app.imported.push({ name: (query as { name: string }).name, bytes })
        return image
      },
      delete: async () => null,
    },
    operations: {
      list: (_caller, query) => page([operation], query), get: (_caller, ref) => one([operation], ref), cancel: async (_caller, ref) => one([operation], ref),
      async wait(_caller, ref, seconds, signal) { app.calls.push(`wait ${seconds}`); await delay(5, undefined, { signal }); return one([operation], ref) },
    },
    migrations: { list: (_caller, query) => page([migration], query), get: (_caller, ref) => one([migration], ref) },
    users: {
      list: (_caller, query) => page([user], query), get: (_caller, ref) => one([user], ref), create: async () => user,
      setPassword: async (_caller, ref) => one([user], ref), patch: async (_caller, ref) => one([user], ref), delete: async () => null,
    },
    roles: { list: (_caller, query) => page([binding], query), get: (_caller, ref) => one([binding], ref), grant: async () => binding, revoke: async () => null },
    projects: { list: (_caller, query) => page([project], query), get: (_caller, ref) => one([project], ref), create: async () => project, patch: async (_caller, ref) => one([project], ref), delete: async () => null },
    sessions: { list: (_caller, query) => page([seen], query), revoke: async () => null, revokeAll: async () => null },
    tokens: {
      list: (_caller, query) => page([apiToken], query), get: (_caller, ref) => one([apiToken], ref), create: async () => ({ ...apiToken, secret: 'nct_new' }), revoke: async () => null,
    },
    membership: {
      view: () => ({ id: 'c', name: 'lab', node: 'n1', nodeId: 'n1', version: '0', leader: 'n1', leaderId: 'n1', term: 1, quorum: true, voters: ['n1'], learners: [], commitIndex: 7, appliedIndex: 7, nodes: 1, nodesReady: 1, vms: {}, createdAt: at }),
      createJoinToken: async () => ({ id: 'j1', token: 'ncj_x', expiresAt: at }),
      listJoinTokens: () => [{ id: 'j1', createdAt: at, expiresAt: at, state: 'valid', usedBy: null }],
      revokeJoinToken: async () => null, isUsable: (given) => given === 'ncj_good', standing: () => ({ removed: false, at: null, by: null }),
      async admit(joinToken, body) {
        if (joinToken !== 'ncj_good') throw new OperationalError('TOKEN_INVALID', 'The join token is not valid.')
        return { clusterId: 'c', clusterName: 'lab', caCertificate: '', certificatePem: '', wrappedClusterKey: JSON.stringify(body), members: [] }
      },
    },
    members: {
      view: async () => members, lead: async () => ({ leader: 'n1', term: 1 }), vote: async (_caller, ref) => one([node], ref), compact: async () => ({ index: 7, entries: 6, bytesBefore: 900, bytesAfter: 100 }),
    },
    records: {
      events: (_caller, query) => page(app.events, query),
      watch(_caller, after, watcher) {
        if (after === '0.0') throw new OperationalError('EVENTS_GONE', 'Gone.')
        for (const event of app.events) if (after !== null && Number(event.id) > Number(after)) watcher.event(event)
        app.watchers.add(watcher)
        return () => app.watchers.delete(watcher)
      },
      audit: (_caller, query) => page(records, query),
      exportAudit: () => records,
    },
    clusterBackup: {
      lastBackup: () => ({ last: null }),
      async backup(_caller, _body, options) {
        write(options)
        return options.dryRun ? { dryRun: true, differences: [] } : { name: 'lab.novabackup', index: 7, bytes: (async function* () { yield Buffer.from('novacron-backup\n') })() }
      },
    },
    requireRight: () => undefined,
    freshness: () => ({ index: 7, staleSinceMs: app.stale ? Date.parse(at) : null, quorum: !app.stale, leader: null, node: { id: 'n1', name: 'n1' }, clusterName: 'lab' }),
    onPulse: () => () => undefined,
    readBarrier: async () => { app.calls.push('readBarrier'); return 7 },
    async waitIndex(index) { if (index > 100) throw new OperationalError('OUTCOME_UNKNOWN', 'The index is not here yet.'); app.calls.push(`waitIndex ${index}`) },
    divergence: () => app.diverged,
    readiness: () => null,
    imageForPeer: () => null,
    supportBundle: (caller) => {
      app.calls.push(`supportBundle ${caller?.userName ?? 'root'}`)
      return smallBundle()
    },
    evidence: () => smallBundle(),
    measures: {
      node: (_caller, ref) => measured('node', one([node], ref)), vm: (_caller, ref) => measured('vm', one(vms, ref)), cluster: () => measured('cluster', { id: 'c', name: 'lab' }),
      nodeUsage: (_caller, query) => page([], query), vmUsage: (_caller, query) => page([], query), usageOf: () => null, sparks: () => new Map(),
    },
    answered: () => undefined,
    metrics: (_caller, scope) => [
      ...(scope === 'cluster' ? [{ name: 'novacron_node_cpu_ratio', help: 'CPU', type: 'gauge', labels: { node: 'n2' }, value: 0.5 } as const] : []),
      { name: 'novacron_raft_term', help: 'Term', type: 'gauge', value: 1 },
      { name: 'novacron_vms', help: 'VMs by phase', type: 'gauge', labels: { phase: 'running' }, value: 2 },
      { name: 'novacron_vms', help: 'VMs by phase', type: 'gauge', labels: { phase: 'stopped' }, value: 0 },
      { name: 'novacron_raft_entries_applied_total', help: 'Entries applied', type: 'counter', value: 10 },
    ],
  }
  return Object.assign(app, face)
}

function smallBundle(): SupportBundle {
  const lines = async function* (): AsyncGenerator<BundleLine, void> {
    yield { kind: 'log', line: 'node is up' }
    yield { kind: 'entry', index: 1, term: 1, timeMs: null, content: { kind: 'empty' } }
  }
  return { node: 'n1', nowMs: Date.parse(at), lines: lines() }
}

const measured = (kind: MetricsView['kind'], { id, name }: { readonly id: string; readonly name: string }): MetricsView =>
  ({ kind, id, name, startAt: at, stepSeconds: 30, heardAt: null, stale: true, limits: { cpus: 1, memoryBytes: 1, storageBytes: null }, series: [] })

/** Gives back what was written. */
function echo(signal: AbortSignal): ByteStream {
  const waiting: Uint8Array[] = [Buffer.from('login: ')]
  let wake: () => void = () => undefined
  let ended = false
  const end = () => { ended = true; wake() }
  signal.addEventListener('abort', end)
  return {
    readable: (async function* () {
      for (;;) {
        const chunk = waiting.shift()
        if (chunk !== undefined) yield chunk
        else if (ended) return
        else await new Promise<void>((resolve) => { wake = resolve })
      }
    })(),
    async write(chunk) { waiting.push(chunk); if (Buffer.from(chunk).toString() === 'exit') end(); wake() },
    end: async () => end(),
    abort: end,
  }
}

export const smallControl: Control = {
  supportBundle: () => smallBundle(),
  status: () => ({ clustered: true, nodeId: uuid(0xd1), name: 'n1', halted: null, url: 'https://n1:8443', fingerprint: 'ab'.repeat(32), discovery: true, removed: null }),
  members: () => createSmallApp().members.view(callerWith(null)),
  leave: async () => ({ clusterName: 'lab' }),
  resetPassword: async () => ({ user: 'admin', password: 'secret' }),
  async init(body) {
    if (body !== null && typeof body === 'object' && 'name' in body) return { caCertificate: 'pem', adminUser: 'admin', adminPassword: 'secret', token: 'nct_x' }
    throw new OperationalError('ALREADY_MEMBER', 'This node is in a cluster already.')
  },
  join: async () => ({ nodeId: 'n1', name: 'n1' }),
  async restore(options, bytes) {
    for await (const piece of bytes) if (piece.length > 0) break
    throw new OperationalError('BACKUP_DAMAGED', `Damaged, with ${JSON.stringify(options)}.`)
  },
  backup: async () => ({ name: 'lab-local.novabackup', index: 7, bytes: (async function* () { yield Buffer.from('novacron-backup\n') })() }),
  recover: async () => { throw new OperationalError('STATE_CONFLICT', 'There is a quorum.') },
  doctor: async () => [{ check: 'clock', outcome: 'good', measured: '1 ms', advice: '' }],
}
