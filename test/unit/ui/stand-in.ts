// A small app of plain data behind the real pages, so that each page can be put together without a cluster.
import { listPage, type ListShape } from '../../../src/app/list.ts'
import type { BackupView } from '../../../src/model/backup.ts'
import type { App, Caller, Freshness, ListQuery, WriteOptions } from '../../../src/app/face.ts'
import type { AuditRecord } from '../../../src/model/audit.ts'
import { OperationalError, type ErrorCode } from '../../../src/model/error.ts'
import type { Event } from '../../../src/model/event.ts'
import type { Image } from '../../../src/model/image.ts'
import type { ClusterMembers, Member } from '../../../src/model/member.ts'
import type { Migration } from '../../../src/model/migration.ts'
import type { DiscoveredNode, Node } from '../../../src/model/node.ts'
import type { Operation, OperationKind } from '../../../src/model/operation.ts'
import type { Project } from '../../../src/model/project.ts'
import type { RoleResource } from '../../../src/model/role.ts'
import type { SessionView } from '../../../src/model/session.ts'
import type { Token } from '../../../src/model/token.ts'
import type { User } from '../../../src/model/user.ts'
import type { Vm, VmPhase } from '../../../src/model/vm.ts'

export const nowMs = Date.UTC(2026, 10, 20, 13, 32, 6)
const iso = (agoMs: number) => new Date(nowMs - agoMs).toISOString()
const minute = 60_000

/** A UUID whose last digits are the number. */
export function idOf(kind: number, at: number): string {
  return `018f0000-000${kind}-7000-8000-${at.toString(16).padStart(12, '0')}`
}

export function makeNode(at: number, change: Partial<Node['status']> = {}): Node {
  const name = `n${at}`
  return {
    id: idOf(1, at), kind: 'node', name, project: '', labels: {}, revision: 10 + at, generation: 1, spec: { schedulable: true, voting: 'auto' },
    status: {
      role: at === 1 ? 'leader' : 'voter', ready: true, reason: '', version: '0.1.0', addresses: [`10.0.0.${at}`], url: `https://10.0.0.${at}:8443`, accelerator: 'tcg', hypervisor: 'QEMU 7.2 libvirt 9.0',
      capacity: { cpus: 8, memoryMiB: 16_384, storageBytes: 100e9 }, allocated: { cpus: 6, memoryMiB: 4096, vms: 6, vmsRunning: 4 },
      load: { cpuRatio: 0.2 + at / 10, memoryUsedBytes: at === 3 ? 15.2e9 : 6e9, memoryTotalBytes: 17e9, storageUsedBytes: 40e9, storageTotalBytes: 100e9, loopDelayMs: 1.2, uptimeSeconds: 86_400 * 9 },
      lastSeenAt: iso(900), rttMs: at === 2 ? null : 0.24, conditions: [], ...change,
    },
  }
}

/** As many as there are nodes: the first leads, the last is a learner that lags and whose disk is slow where there are more than three. */
export function makeMembers(nodes: readonly Node[], change: Partial<ClusterMembers> = {}): ClusterMembers {
  const timing = { heartbeatMs: 250, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 }
  const members = nodes.map((node, at): Member => {
    const lag = at === 2 ? 1240 : 0
    return {
      id: node.id, name: node.name, role: node.status.role, voting: node.spec.voting, state: at === 0 ? 'leader' : 'follower', reachable: true, stale: false, term: 7,
      matchIndex: 1234 - lag, commitIndex: 1234, appliedIndex: 1234 - lag, matchLag: lag, commitLag: 0, applyLag: lag, progress: 'replicate', lastContactMs: at === 0 ? 0 : 40 * at, logSyncMs: 2 + at * 60, loopDelayMs: 3 + at,
      logEntries: 900, logBytes: 120_000, timing, version: node.status.version, featureLevel: 3, halted: null, troubles: [],
    }
  })
  return { node: 'n1', leader: 'n1', term: 7, commitIndex: 1234, quorum: true, stale: false, voters: 3, votersNeeded: 2, timing, notes: members.some((member) => member.matchLag !== 0) ? ['n3 is 1240 entries behind.'] : [], members, ...change }
}

export function makeVm(at: number, phase: VmPhase, change: { readonly name?: string; readonly labels?: Record<string, string>; readonly message?: string } = {}): Vm {
  const node = (at % 3) + 1
  return {
    id: idOf(2, at), kind: 'vm', name: change.name ?? `web-${String(at).padStart(2, '0')}`, project: 'default', labels: change.labels ?? (at % 3 === 0 ? { tier: 'web', env: 'prod' } : {}), revision: 100 + at, generation: 2,
    spec: {
      cpus: 1 + (at % 4), memoryMiB: 512 * (1 + (at % 5)), firmware: 'bios', disks: [{ name: 'root', image: 'tiny', pool: 'local', bus: 'virtio', sizeGiB: 2 }, { name: 'data', pool: 'local', bus: 'virtio', sizeGiB: 20 }],
      nics: [{ network: 'nat', mac: '52:54:00:12:34:56' }], runState: phase === 'stopped' ? 'stopped' : 'running', placement: {}, stopTimeoutSeconds: 60,
    },
    status: {
      phase, node: `n${node}`, nodeId: idOf(1, node), epoch: 1, observedGeneration: 2, addresses: phase === 'running' ? [`192.168.122.${at + 10}`, 'fe80::5054:ff:fe12:3456'] : [],
      message: change.message ?? (phase === 'failed' ? 'The image tiny is not on n3.' : ''), operation: phase === 'stopping' ? idOf(3, 1) : null, createdAt: iso(at * 47 * minute), conditions: [],
    },
  }
}

export function makeOperation(at: number, operation: OperationKind, state: Operation['status']['state'], vm: Vm): Operation {
  const running = state === 'running'
  return {
    id: idOf(3, at), kind: 'operation', name: '', project: 'default', labels: {}, revision: 200 + at, generation: 1,
    spec: { operation, target: { kind: 'vm', id: vm.id, name: vm.name }, force: false, timeoutSeconds: 60 },
    status: {
      state, step: 0, node: vm.status.node, actor: at % 2 === 0 ? 'admin' : 'mara', startedAt: iso(at * 3 * minute), endedAt: running ? null : iso(at * 3 * minute - 2400), cancellable: running,
      steps: operation === 'vm-restart'
        ? [{ name: 'shutdown', state: 'done', startedAt: iso(at * 3 * minute), endedAt: iso(at * 3 * minute - 1400) }, { name: 'boot', state: running ? 'running' : 'done', startedAt: iso(at * 3 * minute - 1400), endedAt: running ? null : iso(at * 3 * minute - 2400) }]
        : [{ name: 'shutdown', state: running ? 'running' : state === 'failed' ? 'failed' : state === 'cancelled' ? 'cancelled' : 'done', startedAt: iso(at * 3 * minute), endedAt: running ? null : iso(at * 3 * minute - 2400) }],
      error: state === 'failed' ? { code: 'HYPERVISOR_TIMEOUT', message: 'libvirt did not answer in time.' } : null,
    },
  }
}

type Scene = { vms: Vm[]; nodes: Node[]; members?: ClusterMembers; discovered?: DiscoveredNode[]; migrations?: Migration[]; images: Image[]; operations: Operation[]; events: Event[]; users: User[]; tokens: Token[]; audit: AuditRecord[]; roles: RoleResource[]; projects: Project[]; sessions: SessionView[]; freshness: Freshness; lastBackup: BackupView['last'] }

export function makeScene(): Scene {
  const phases: VmPhase[] = ['running', 'running', 'stopped', 'running', 'paused', 'running', 'starting', 'running', 'failed', 'running', 'stopping', 'unknown', 'running', 'running', 'deleting']
  const vms = Array.from({ length: 31 }, (_, at) => makeVm(at, phases[at % phases.length] ?? 'running'))
  const nodes = [makeNode(1), makeNode(2), makeNode(3)]
  const images: Image[] = ['tiny', 'debian-12'].map((name, at) => ({
    id: idOf(4, at), kind: 'image', name, project: 'default', labels: {}, revision: 5, generation: 1,
    spec: { format: 'qcow2', sha256: 'ab'.repeat(32), sizeBytes: 14_680_064, virtualSizeBytes: 268_435_456, os: at === 1 ? 'debian' : '' }, status: { nodes: ['n1', 'n2', 'n3'], uses: 3, usedBy: { count: 0, names: [] }, copiesWanted: 2, fetching: [], createdAt: iso(99 * minute), conditions: [] },
  }))
  const kinds: [OperationKind, Operation['status']['state']][] = [['vm-stop', 'running'], ['vm-start', 'done'], ['vm-restart', 'done'], ['vm-delete', 'failed'], ['vm-pause', 'cancelled'], ['vm-start', 'done'], ['vm-restart', 'running']]
  const operations = kinds.map(([kind, state], at) => makeOperation(at + 1, kind, state, vms[at] ?? makeVm(0, 'running')))
  const events: Event[] = Array.from({ length: 60 }, (_, at) => {
    const vm = vms[at % vms.length] ?? makeVm(0, 'running')
    return { id: `${900 - at}.0`, at: iso(at * minute * 2), type: at % 9 === 0 ? 'created' : 'updated', kind: 'vm', resourceId: vm.id, name: vm.name, project: 'default', message: at % 7 === 0 ? `${vm.name} failed to start.` : `${vm.name} is running.`, reason: at % 7 === 0 ? 'vm.phase.failed' : 'vm.phase.running', actor: 'admin', commandId: idOf(6, at) }
  })
  const users: User[] = ['admin', 'mara'].map((name, at) => ({ id: idOf(5, at), kind: 'user', name, project: '', labels: {}, revision: 1, generation: 1, spec: { displayName: at === 1 ? 'Mara Lind' : '', disabled: false, bindings: [{ role: at === 0 ? 'administrator' : 'operator', scope: 'cluster' }] }, status: { createdAt: iso(9000 * minute), passwordChangedAt: iso(9000 * minute), lastSeenAt: iso(minute) } }))
  const tokens: Token[] = ['lab', 'ci'].map((name, at) => ({ id: idOf(7, at), kind: 'token', name, project: '', labels: {}, revision: 1, generation: 1, spec: {}, status: { user: 'admin', createdAt: iso(900 * minute), expiresAt: at === 0 ? null : iso(-90 * 1440 * minute), revoked: at === 1, lastUsedAt: null, lastUsedFrom: null, parent: null } }))
  const audit: AuditRecord[] = Array.from({ length: 12 }, (_, at) => ({ id: String(900 - at), at: iso(at * minute), actor: 'admin', actorKind: 'user', address: '10.0.0.9', command: 'vm.act', target: `web-0${at}`, outcome: at % 4 === 3 ? 'refused' : 'done', code: at % 4 === 3 ? 'STATE_CONFLICT' : '', node: '', detail: '' }))
  const roles: RoleResource[] = users.flatMap((user, at) => user.spec.bindings.map((binding) => ({ id: idOf(10, at), kind: 'role' as const, name: `${user.name}-${binding.role}-cluster`, project: '', labels: {}, revision: 1, generation: 1, spec: { subject: { kind: 'user' as const, name: user.name }, ...binding }, status: { subjectId: user.id } })))
  const projects: Project[] = ['default', 'shop'].map((name, at) => ({ id: idOf(11, at), kind: 'project', name, project: '', labels: {}, revision: 1, generation: 1, spec: { description: at === 1 ? 'The web shop' : '' }, status: { vms: at * 3, images: 1, createdAt: iso(9000 * minute) } }))
  const sessions: SessionView[] = ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'curl/8.14'].map((agent, at) => ({ id: idOf(12, at), user: 'admin', userId: idOf(5, 0), address: `10.0.0.${9 + at}`, agent, node: 'n1', startedAt: iso(90 * minute), lastSeenAt: iso(at * minute), expiresAt: iso(-600 * minute), current: at === 0 }))
  return { vms, nodes, images, operations, events, users, tokens, audit, roles, projects, sessions, freshness: { index: 900, staleSinceMs: null, quorum: true, leader: { id: idOf(1, 1), name: 'n1', url: 'https://10.0.0.1:8443' }, node: { id: idOf(1, 2), name: 'n2' }, clusterName: 'atlas' }, lastBackup: { at: iso(90 * minute), by: 'admin', node: 'n1', index: 850, bytes: 3_400_000, checksum: 'cd'.repeat(32), sealed: true } }
}

export const admin: Caller = {
  actor: { kind: 'user', id: idOf(5, 0), name: 'admin', address: '10.0.0.9' }, userId: idOf(5, 0), userName: 'admin', bindings: [{ role: 'administrator', scope: 'cluster' }],
  session: { id: 's1', expiresMs: nowMs + 3_600_000, csrf: 'csrf-of-this-session' },
}
export const cookie = 'good-cookie'

type Named = { readonly id: string; readonly name: string; readonly labels?: { readonly [key: string]: string } }
function shape<T extends Named>(fields: ListShape<T>['fields'], sortDefault = 'name'): ListShape<T> {
  return { id: (record) => record.id, name: (record) => record.name, labels: (record) => record.labels ?? {}, fields: { name: (record) => record.name, ...fields }, sortDefault }
}
const vmShape = shape<Vm>({ phase: (vm) => vm.status.phase, node: (vm) => vm.status.node ?? '', cpus: (vm) => vm.spec.cpus, memory: (vm) => vm.spec.memoryMiB, created: (vm) => vm.status.createdAt, address: (vm) => vm.status.addresses[0] ?? '' })
const operationShape = shape<Operation>({ operation: (operation) => operation.spec.operation, created: (operation) => operation.status.startedAt, state: (operation) => operation.status.state, target: (operation) => operation.spec.target.name, targetId: (operation) => operation.spec.target.id, actor: (operation) => operation.status.actor, node: (operation) => operation.status.node ?? '' }, '-created')
const eventShape = shape<Event>({ id: (event) => Number(event.id), kind: (event) => event.kind, type: (event) => event.type, resource: (event) => event.resourceId, actor: (event) => event.actor }, '-id')
const auditShape: ListShape<AuditRecord> = { id: (record) => record.id, name: (record) => record.target, labels: () => ({}), fields: { id: (record) => Number(record.id) }, sortDefault: '-id' }

export type StandIn = App & {
  readonly scene: Scene
  /** What was asked to be written. */
  readonly writes: { readonly what: string; readonly body: unknown; readonly options: WriteOptions }[]
  /** The next write is refused with this. */
  refuse: OperationalError | null
  pulse(): void
}

export function makeStandIn(): StandIn {
  const scene = makeScene()
  const listeners = new Set<() => void>()
  const writes: StandIn['writes'] = []
  const view = <T>(value: T) => value
  const get = <T extends Named>(records: readonly T[], ref: string): T => {
    const found = records.find((record) => record.id === ref || record.name === ref)
    if (found === undefined) throw new OperationalError('NOT_FOUND', `There is no such thing as ${ref}.`)
    return found
  }
  const write = (what: string, body: unknown, options: WriteOptions) => {
    if (standIn.refuse !== null && !options.dryRun) throw standIn.refuse
    writes.push({ what, body, options })
  }
  const watch = (listener: () => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  const unused = () => Promise.reject(new OperationalError('STATE_CONFLICT', 'Not in this stand-in.'))
  const operationOn = (ref: string, kind: OperationKind) => makeOperation(40, kind, 'running', get(scene.vms, ref))
  const standIn: StandIn = {
    scene, writes, refuse: null,
    pulse: () => listeners.forEach((listener) => listener()),
    identity: {
      signIn: ({ name, password }) => (name === 'admin' && password === 'right-password' ? Promise.resolve({ cookie, expiresMs: nowMs + 3_600_000, caller: admin }) : Promise.reject(new OperationalError('SIGN_IN_FAILED', 'User name or password is wrong.'))),
      signOut: () => Promise.resolve(),
      authenticateSession: (given) => Promise.resolve(given === cookie ? admin : null),
      authenticateToken: () => Promise.resolve(null),
      onCredentialChange: () => () => undefined,
    },
    vms: {
      list: (_caller, query: ListQuery) => listPage(scene.vms, vmShape, query, view),
      get: (_caller, ref) => get(scene.vms, ref),
      create: (_caller, body, options) => {
        write('vm.create', body, options)
        const { name } = body as { name: string }
        if (options.dryRun) return Promise.resolve({ dryRun: true, differences: [] })
        const vm = makeVm(90, 'pending', { name })
        scene.vms.push(vm)
        return Promise.resolve(vm)
      },
      replace: unused,
      migrate: (_caller, ref, body, options) => {
        write('vm.migrate', body, options)
        return Promise.resolve(operationOn(ref, 'vm-migrate'))
      },
      migrationTargets: () => ({ node: 'n2', reason: 'most memory free', considered: [{ node: 'n2', fits: true, reason: '512 MiB of memory free' }, { node: 'n3', fits: false, reason: 'is not in touch' }] }),
      recover: (_caller, ref, body, options) => {
        write('vm.recover', body, options)
        return Promise.resolve(get(scene.vms, ref))
      },
      explain: (_caller, ref) => {
        const vm = get(scene.vms, ref)
        return {
          kind: 'vm', id: vm.id, name: vm.name, summary: `${vm.name} is ${vm.status.phase}.`, placement: { node: 'n1', reason: 'most memory free', considered: [{ node: 'n1', fits: true, reason: '512 MiB of memory free' }, { node: 'n2', fits: false, reason: 'is not in touch' }] },
          reasons: [{ topic: 'wish', text: 'admin wished it running.', since: null, cause: { actor: 'admin', commandId: '01890a5d-ac96-774b-bcce-000000000007' }, remedy: 'Nothing to do.' }],
        }
      },
      patch: (_caller, ref, body, options) => {
        write('vm.patch', body, options)
        return Promise.resolve(get(scene.vms, ref))
      },
      act: (_caller, ref, action, body, options) => {
        write(`vm.${action}`, body, options)
        return Promise.resolve(operationOn(ref, `vm-${action}`))
      },
      delete: (_caller, ref, body, options) => {
        write('vm.delete', body, options)
        return Promise.resolve(operationOn(ref, 'vm-delete'))
      },
      counts: () => {
        const counts: { [phase: string]: number } = {}
        for (const vm of scene.vms) counts[vm.status.phase] = (counts[vm.status.phase] ?? 0) + 1
        return counts
      },
    },
    consoles: { issue: () => { throw new OperationalError('STATE_CONFLICT', 'Not in this stand-in.') }, redeem: unused },
    nodes: {
      list: (_caller, query) => listPage(scene.nodes, shape<Node>({}), query, view),
      get: (_caller, ref) => get(scene.nodes, ref),
      remove: (_caller, ref, body, options) => {
        write('node.remove', { ref, body }, options)
        return Promise.resolve(null)
      },
      drain: (_caller, ref, body, options) => {
        if (options.dryRun) return Promise.resolve({ dryRun: true, differences: [{ path: 'spec.schedulable', before: true, after: false }, { path: 'vms.web-01.node', before: ref, after: 'n2' }, { path: 'vms.shop.db.node', before: ref, after: null }], notes: ['shop.db would stay: n2 has 0 MiB of memory free.'] })
        write('node.drain', { ref, body }, options)
        return Promise.resolve(operationOn(scene.vms[0]!.name, 'node-drain'))
      },
      uncordon: (_caller, ref, options) => {
        write('node.uncordon', ref, options)
        return Promise.resolve(get(scene.nodes, ref))
      },
      discovered: () => ({ items: scene.discovered ?? [], next: null, total: scene.discovered?.length ?? 0 }),
      admit: (_caller, ref, options) => {
        write('node.admit', ref, options)
        return Promise.resolve(scene.nodes[0]!)
      },
      patch: (_caller, ref, body, options) => {
        write('node.patch', body, options)
        return Promise.resolve(get(scene.nodes, ref))
      },
    },
    members: { view: () => Promise.resolve(scene.members ?? makeMembers(scene.nodes)), lead: (_caller, body, options) => {
        write('node.lead', body, options)
        return Promise.resolve({ leader: 'n2', term: 8 })
      }, vote: (_caller, ref, { voting }, options) => {
        write('node.vote', { ref, voting }, options)
        return Promise.resolve(get(scene.nodes, ref))
      }, compact: (_caller, ref, options) => {
        write('node.compact', ref, options)
        return Promise.resolve({ index: 812, entries: 400, bytesBefore: 90_000, bytesAfter: 4_000 })
      } },
    uploads: { list: () => Promise.resolve({ items: [], next: null, total: 0 }), create: unused, get: unused, append: unused, finish: unused, delete: unused },
    images: {
      list: (_caller, query) => listPage(scene.images, shape<Image>({}), query, view),
      get: (_caller, ref) => get(scene.images, ref),
      import: unused,
      importUrl: (_caller, body, options) => {
        write('image.import', body, options)
        return Promise.resolve(scene.operations[0]!)
      },
      patch: (_caller, ref, body, options) => {
        write('image.patch', body, options)
        return Promise.resolve(get(scene.images, ref))
      },
      delete: (_caller, ref, options) => {
        write('image.delete', ref, options)
        return Promise.resolve(null)
      },
    },
    migrations: { list: (_caller, query) => listPage(scene.migrations ?? [], shape<Migration>({ ended: (migration) => migration.status.endedAt, vmId: (migration) => migration.spec.vm.id, node: (migration) => migration.spec.from.id }), query, view), get: (_caller, ref) => get(scene.migrations ?? [], ref) },
    operations: {
      list: (_caller, query) => listPage(scene.operations, operationShape, query, view),
      get: (_caller, ref) => get(scene.operations, ref),
      cancel: (_caller, ref, options) => {
        write('operation.cancel', ref, options)
        return Promise.resolve(get(scene.operations, ref))
      },
      wait: unused,
    },
    users: {
      list: (_caller, query) => listPage(scene.users, shape<User>({}), query, view),
      get: (_caller, ref) => get(scene.users, ref),
      create: (_caller, body, options) => {
        write('user.create', body, options)
        return Promise.resolve(get(scene.users, 'mara'))
      },
      setPassword: (_caller, ref, body, options) => {
        write('user.setPassword', body, options)
        return Promise.resolve(get(scene.users, ref))
      },
      patch: (_caller, ref, body, options) => {
        write('user.patch', body, options)
        return Promise.resolve(get(scene.users, ref))
      },
      delete: (_caller, ref, options) => {
        write('user.delete', ref, options)
        return Promise.resolve(null)
      },
    },
    roles: {
      list: (_caller, query) => listPage(scene.roles, shape<RoleResource>({ subject: (binding) => binding.spec.subject.name, scope: (binding) => binding.spec.scope }), query, view),
      get: (_caller, ref) => get(scene.roles, ref),
      grant: (_caller, body, options) => {
        write('role.grant', body, options)
        return Promise.resolve(scene.roles[0]!)
      },
      revoke: (_caller, ref, options) => {
        write('role.revoke', ref, options)
        return Promise.resolve(null)
      },
    },
    projects: {
      list: (_caller, query) => listPage(scene.projects, shape<Project>({}), query, view),
      get: (_caller, ref) => get(scene.projects, ref),
      create: (_caller, body, options) => {
        write('project.create', body, options)
        return Promise.resolve(scene.projects[0]!)
      },
      patch: (_caller, ref, body, options) => {
        write('project.patch', body, options)
        return Promise.resolve(get(scene.projects, ref))
      },
      delete: (_caller, ref, options) => {
        write('project.delete', ref, options)
        return Promise.resolve(null)
      },
    },
    sessions: {
      list: (_caller, query) => ({ items: scene.sessions.slice(0, query.limit), next: null, total: scene.sessions.length }),
      revoke: (_caller, id, options) => {
        write('session.revoke', id, options)
        return Promise.resolve(null)
      },
      revokeAll: (_caller, ref, options) => {
        write('session.revokeAll', ref, options)
        return Promise.resolve(null)
      },
    },
    tokens: {
      list: (_caller, query) => listPage(scene.tokens, shape<Token>({}), query, view),
      get: (_caller, ref) => get(scene.tokens, ref),
      create: (_caller, body, options) => {
        write('token.create', body, options)
        return Promise.resolve({ ...get(scene.tokens, 'ci'), name: (body as { name: string }).name, secret: 'nct_the-secret' })
      },
      revoke: (_caller, ref, options) => {
        write('token.revoke', ref, options)
        return Promise.resolve(null)
      },
    },
    clusterBackup: {
      lastBackup: () => ({ last: scene.lastBackup }),
      backup: (_caller, body, options) => {
        write('backup.create', body, options)
        return Promise.resolve({ name: 'atlas.novabackup', index: 900, bytes: (async function* () { yield Buffer.from('novacron-backup\n') })() })
      },
    },
    membership: {
      view: () => ({
        id: idOf(8, 1), name: 'atlas', node: 'n2', nodeId: idOf(1, 2), version: '0.1.0', leader: scene.freshness.leader?.name ?? null, leaderId: scene.freshness.leader?.id ?? null, term: 4, quorum: scene.freshness.quorum,
        voters: ['n1', 'n2', 'n3'], learners: [], commitIndex: 900, appliedIndex: 900, nodes: scene.nodes.length, nodesReady: scene.nodes.filter((node) => node.status.ready).length, vms: {}, createdAt: iso(9000 * minute),
      }),
      createJoinToken: (_caller, body, options) => {
        write('joinToken.create', body, options)
        return Promise.resolve({ id: idOf(9, 1), token: 'ncj_the-join-token', expiresAt: iso(-60 * minute) })
      },
      listJoinTokens: () => [{ id: idOf(9, 0), createdAt: iso(minute), expiresAt: iso(-59 * minute), state: 'valid', usedBy: null }, { id: idOf(9, 2), createdAt: iso(99 * minute), expiresAt: iso(39 * minute), state: 'used', usedBy: 'n3' }],
      revokeJoinToken: (_caller, id, options) => {
        write('joinToken.revoke', id, options)
        return Promise.resolve(null)
      },
      admit: unused,
      isUsable: () => false,
      standing: () => ({ removed: false, at: null, by: null }),
    },
    records: {
      events: (_caller, query) => listPage(scene.events, eventShape, query, view),
      watch: (_caller, _after, watcher) => watch(() => watcher.reset()),
      audit: (_caller, query) => listPage(scene.audit, auditShape, query, view),
      exportAudit: () => scene.audit,
    },
    requireRight: () => undefined,
    freshness: () => scene.freshness,
    onPulse: watch,
    readBarrier: () => Promise.resolve(900),
    waitIndex: () => Promise.resolve(),
    supportBundle: () => { throw new Error('not here') },
    evidence: () => { throw new Error('not here') },
    divergence: () => null,
    readiness: () => null,
    imageForPeer: () => null,
    measures: {
      node: (_caller, ref) => measured('node', ref), vm: (_caller, ref) => measured('vm', ref), cluster: () => measured('cluster', 'lab'),
      nodeUsage: () => ({ items: [], next: null, total: 0 }), vmUsage: () => ({ items: [], next: null, total: 0 }), usageOf: () => null, sparks: () => new Map(),
    },
    answered: () => undefined,
    metrics: () => [],
  }
  return standIn
}

export function refusal(code: ErrorCode, message: string, fields: { readonly path: string; readonly message: string }[] = []): OperationalError {
  return new OperationalError(code, message, fields.length === 0 ? {} : { data: { fields } })
}

const measured = (kind: 'node' | 'vm' | 'cluster', name: string): ReturnType<App['measures']['cluster']> =>
  ({ kind, id: name, name, startAt: '2026-11-20T10:00:00.000Z', stepSeconds: 30, heardAt: null, stale: true, limits: { cpus: 1, memoryBytes: 1, storageBytes: null }, series: [] })
