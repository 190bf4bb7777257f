// What the faces (HTTP API, pages, and through them the command line) may ask of a node. Every capability is here once.
import type { Divergence } from '../model/checkpoint.ts'
import type { BundleLine } from '../model/support-bundle.ts'
import type { AuditRecord } from '../model/audit.ts'
import type { BackupView } from '../model/backup.ts'
import type { ClusterView } from '../model/cluster.ts'
import type { ConsoleTicket } from '../model/console.ts'
import type { Event } from '../model/event.ts'
import type { Explanation, PlacementView } from '../model/explanation.ts'
import type { Image } from '../model/image.ts'
import type { MetricsView, Usage } from '../model/metrics.ts'
import type { NodeStanding } from '../model/join.ts'
import type { ClusterMembers, Compacted, Leadership } from '../model/member.ts'
import type { Migration } from '../model/migration.ts'
import type { DiscoveredNode, Node, NodeVoting } from '../model/node.ts'
import type { Operation } from '../model/operation.ts'
import type { Token } from '../model/token.ts'
import type { Upload } from '../model/upload.ts'
import type { Project } from '../model/project.ts'
import type { Right, RoleBinding, RoleResource } from '../model/role.ts'
import type { SessionView } from '../model/session.ts'
import type { Actor, User } from '../model/user.ts'
import type { Vm, VmAction } from '../model/vm.ts'
import type { Cancel } from '../ports/clock.ts'
import type { ImageBytes } from '../ports/image-supply.ts'
import type { ByteStream } from '../ports/transport.ts'

/** Who asks, as authenticated. */
export type Caller = {
  readonly actor: Actor
  readonly userId: string
  readonly userName: string
  readonly bindings: readonly RoleBinding[]
  /** Null for an API token. */
  readonly session: { readonly id: string; readonly expiresMs: number; readonly csrf: string } | null
}

/** A page of a list asked for. Cursors are opaque. */
export type ListQuery = {
  /** 1-1000. */
  readonly limit: number
  readonly after: string | null
  /** A field name, `-` in front for descending: name, phase, node, cpus, memory, created… per noun; unknown is INVALID. */
  readonly sort: string | null
  /** Words separated by blanks: `web` (in the name), `phase:running`, `node:n1`, `label:tier=web`, `-phase:stopped`. */
  readonly filter: string | null
}
export type Page<T> = { readonly items: readonly T[]; readonly next: string | null; /** All that match. */ readonly total: number }

/** How a write is to be done. */
export type WriteOptions = {
  readonly idempotencyKey: string | null
  /** Digest of method, path and body: tells a retry from a reuse of the key. */
  readonly bodyHash: string
  /** Revision from If-Match. */
  readonly ifMatch: number | null
  readonly dryRun: boolean
  /** Prefer: wait=N; 0 is not waiting. At most 300. */
  readonly waitSeconds: number
  readonly signal: AbortSignal
}

/** One changed place of a dry run; paths dotted. */
export type Difference = { readonly path: string; readonly before: unknown; readonly after: unknown }
export type DryRun = { readonly dryRun: true; readonly differences: readonly Difference[]; /** Only where a place had to be found. */ readonly placement?: PlacementView; /** Sentences: what would stay undone, and why. */ readonly notes?: readonly string[] }
export type Written<T> = T | DryRun

export type SignedIn = { readonly cookie: string; readonly expiresMs: number; readonly caller: Caller }

export type Watcher = {
  event(event: Event): void
  /** The state was replaced by a snapshot, or this consumer fell behind: list anew. */
  reset(): void
}

export interface Identity {
  /** @throws SIGN_IN_FAILED, TOO_MANY_ATTEMPTS (with retryAfterSeconds). Works without quorum. */
  signIn(input: { readonly name: string; readonly password: string; readonly address: string; readonly agent?: string }): Promise<SignedIn>
  signOut(caller: Caller): Promise<void>
  /** Null where the credential is not (or no longer) valid. */
  authenticateSession(cookie: string, address: string, agent?: string): Promise<Caller | null>
  authenticateToken(secret: string, address: string): Promise<Caller | null>
  /** Calls when some credential may have become worth less: long streams ask again then. */
  onCredentialChange(listener: () => void): Cancel
}

export interface Vms {
  list(caller: Caller, query: ListQuery): Page<Vm>
  /** @throws NOT_FOUND */
  get(caller: Caller, ref: string): Vm
  /** `body` is unparsed: {name, project?, labels?, spec}. */
  create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Vm>>
  replace(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Vm>>
  patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Vm>>
  /** `body`: {force?, timeoutSeconds?}. */
  act(caller: Caller, ref: string, action: VmAction, body: unknown, options: WriteOptions): Promise<Written<Operation>>
  /** Begins anew elsewhere what a dead host had; `body`: {node?, hostIsOff: true, loseDisks?}. @throws STATE_CONFLICT where the host is in touch */
  recover(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Vm>>
  /** To another node, live where it runs; `body`: {node?, bandwidthMiBps?, force?}. Without a node the planner chooses. @throws NO_FIT, STATE_CONFLICT, OPERATION_ACTIVE */
  migrate(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Operation>>
  /** Every other node, with what speaks for it or against it. */
  migrationTargets(caller: Caller, ref: string): PlacementView
  /** With its disks. */
  delete(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Operation>>
  counts(caller: Caller): Readonly<Record<string, number>>
  /** Why it is as it is. @throws NOT_FOUND */
  explain(caller: Caller, ref: string): Explanation
}

/** A console that a ticket was spent for. */
export type ConsoleSeat = {
  /** Whether who sits there still may. */
  holds(): boolean
  /** @throws CONSOLE_BUSY, SCREEN_MISSING, PEER_UNREACHABLE, STATE_CONFLICT */
  open(signal: AbortSignal): Promise<ByteStream>
}

/** Serial consoles and screens, also of VMs on other nodes. */
export interface Consoles {
  /** `body`: {type?}. @throws NOT_FOUND, FORBIDDEN, STATE_CONFLICT, PEER_UNREACHABLE */
  issue(caller: Caller, ref: string, body: unknown, options: WriteOptions): ConsoleTicket
  /** Spends the ticket. @throws TICKET_INVALID, NOT_FOUND, FORBIDDEN, PEER_UNREACHABLE */
  redeem(ticket: string, target: { readonly ref: string; readonly type: string }, address: string): Promise<ConsoleSeat>
}

export interface Nodes {
  list(caller: Caller, query: ListQuery): Page<Node>
  get(caller: Caller, ref: string): Node
  /** Also renames, alone. */
  patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Node>>
  /** `body`: {force?, hostIsOff?}. Null once it is no member any more; else the node, which is leaving. @throws IN_USE, STATE_CONFLICT */
  remove(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Node | null>>
  /** Takes no new VMs, and those that are there move away; `body`: {concurrency?}. */
  drain(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Operation>>
  /** Takes VMs again; a drain that runs is over. */
  uncordon(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Node>>
  /** Appliances on the local network that are in no cluster, as this node hears them. */
  discovered(caller: Caller): Page<DiscoveredNode>
  /** Invites one by its fingerprint and waits until it has joined. @throws NOT_FOUND, PEER_UNREACHABLE */
  admit(caller: Caller, fingerprint: string, options: WriteOptions): Promise<Written<Node>>
}

export interface Images {
  list(caller: Caller, query: ListQuery): Page<Image>
  get(caller: Caller, ref: string): Image
  /** `source` gives the file's bytes, first kept on this node. The same name with the same content adds this node as a holder. */
  import(caller: Caller, query: unknown, source: () => AsyncIterable<Uint8Array>, options: WriteOptions): Promise<Written<Image>>
  /** This node fetches it: `body` is {name, labels?, spec: {source: {url, sha256?}, os?, copies?}}. @throws SOURCE_REFUSED */
  importUrl(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Operation>>
  patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Image>>
  delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

/** Image files on their way to this node, part by part; each its beginner's, and administrators'. */
/** `announcedBytes`: its length, null where that is known only at its end. */
export type UploadPart = { readonly offset: number; readonly announcedBytes: number | null; readonly signal: AbortSignal }

export interface Uploads {
  list(caller: Caller): Promise<Page<Upload>>
  /** `body`: {name, labels?, spec: {sizeBytes, sha256?, os?, copies?, fingerprint?}}. */
  create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Upload>>
  get(caller: Caller, ref: string): Promise<Upload>
  /** @throws STATE_CONFLICT where `offset` is not where the last part ended (data.offset says where that is) */
  append(caller: Caller, ref: string, source: AsyncIterable<Uint8Array>, part: UploadPart): Promise<Upload>
  /** Checks the whole file and makes an image of it; asked again it gives the same image. */
  finish(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Image>>
  delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

export interface Operations {
  list(caller: Caller, query: ListQuery): Page<Operation>
  get(caller: Caller, ref: string): Operation
  cancel(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Operation>>
  /** Resolves when it has ended or the time is over, with what it is then. */
  wait(caller: Caller, ref: string, seconds: number, signal: AbortSignal): Promise<Operation>
}

/** Ended migrations, the latest first. */
export interface Migrations {
  list(caller: Caller, query: ListQuery): Page<Migration>
  get(caller: Caller, ref: string): Migration
}

export interface Users {
  list(caller: Caller, query: ListQuery): Page<User>
  get(caller: Caller, ref: string): User
  create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<User>>
  /** Labels, display name, disabled, bindings. */
  patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<User>>
  setPassword(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<User>>
  delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

export interface Roles {
  list(caller: Caller, query: ListQuery): Page<RoleResource>
  get(caller: Caller, ref: string): RoleResource
  /** `body`: {spec: {subject: {name}, role, scope?}}. Granted twice is granted once. */
  grant(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<RoleResource>>
  revoke(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

export interface Projects {
  list(caller: Caller, query: ListQuery): Page<Project>
  get(caller: Caller, ref: string): Project
  create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Project>>
  /** Name, labels, description. */
  patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Project>>
  /** @throws IN_USE where it is not empty */
  delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

/** Signed-in sessions, as far as nodes have seen them. */
export interface Sessions {
  list(caller: Caller, query: ListQuery): Page<SessionView>
  revoke(caller: Caller, id: string, options: WriteOptions): Promise<Written<null>>
  /** Signs a user out everywhere, also where no node has seen it. */
  revokeAll(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

export interface Tokens {
  list(caller: Caller, query: ListQuery): Page<Token>
  get(caller: Caller, ref: string): Token
  /** The answer alone holds `secret`. */
  create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Token>>
  revoke(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>>
}

export type JoinTokenView = { readonly id: string; readonly createdAt: string; readonly expiresAt: string; readonly state: 'valid' | 'used' | 'expired' | 'revoked'; readonly usedBy: string | null }
/** `token` is shown this once. */
export type MadeJoinToken = { readonly id: string; readonly token: string; readonly expiresAt: string }
export interface Membership {
  view(caller: Caller): ClusterView
  /** `body`: {lifeSeconds?}. */
  createJoinToken(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<MadeJoinToken>>
  listJoinTokens(caller: Caller): readonly JoinTokenView[]
  revokeJoinToken(caller: Caller, id: string, options: WriteOptions): Promise<Written<null>>
  /**
   * Admits a joiner; its join token is the credential. `body` is unparsed, see app/join.ts.
   * @throws TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED, TOKEN_OTHER_CLUSTER, NAME_TAKEN
   */
  admit(token: string, body: unknown, address: string): Promise<unknown>
  /** Would the join token admit somebody now? Who holds one may send more. */
  isUsable(token: string): boolean
  /** Whether a node is still a member, told to whoever holds its key. @throws UNAUTHENTICATED */
  standing(nodeId: string, signature: string): NodeStanding
}

/** A backup as it is written; whoever asked for it reads it to its end, or ends the iteration. */
export type BackupFile = { readonly name: string; readonly index: number; readonly bytes: AsyncIterable<Uint8Array> }
export interface ClusterBackups {
  /** What is known of the last one. */
  lastBackup(caller: Caller): BackupView
  /** `body`: {passphrase?, local?}. @throws NO_QUORUM but for a local one, OVERLOADED, STATE_DIVERGED */
  backup(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<BackupFile>>
}

/** Consensus for operators. */
export interface Members {
  /** Each member's own word, asked now, and the leader's of it; without a leader what is known, marked stale. */
  view(caller: Caller): Promise<ClusterMembers>
  /** `body`: {node?}. Resolves when this node knows the new leader. @throws STATE_CONFLICT with the reason */
  lead(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Leadership>>
  /** `body`: {force?}. With `waitSeconds` until who votes is as wished. @throws STATE_CONFLICT where it is unwise and not forced */
  vote(caller: Caller, ref: string, wish: { readonly voting: NodeVoting; readonly body: unknown }, options: WriteOptions): Promise<Written<Node>>
  /** Shortens the log of a node behind a synced state. @throws STATE_CONFLICT, PEER_UNREACHABLE */
  compact(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Compacted>>
}

export interface Records {
  events(caller: Caller, query: ListQuery): Page<Event>
  /** Calls back for every event after `after` (null: from now on) that the filter lets pass. @throws EVENTS_GONE, INVALID */
  watch(caller: Caller, after: string | null, watcher: Watcher, filter?: string | null): Cancel
  audit(caller: Caller, query: ListQuery): Page<AuditRecord>
  /** All that match, the newest first. */
  exportAudit(caller: Caller, query: Pick<ListQuery, 'sort' | 'filter'>): Iterable<AuditRecord>
}

/** @param stepSeconds null: as fits the range */
export type SeriesQuery = { readonly rangeSeconds: number; readonly stepSeconds: number | null }
/** What nodes measured of themselves and their VMs in the last hour, as this node heard it. */
export interface Measures {
  /** @throws NOT_FOUND, INVALID for a step that does not fit the range */
  node(caller: Caller, ref: string, query: SeriesQuery): MetricsView
  vm(caller: Caller, ref: string, query: SeriesQuery): MetricsView
  cluster(caller: Caller, query: SeriesQuery): MetricsView
  /** Who uses how much now; sorted by cpu, memory, read, write, receive, transmit or name. */
  nodeUsage(caller: Caller, query: ListQuery): Page<Usage>
  vmUsage(caller: Caller, query: ListQuery): Page<Usage>
  /** Null for what is not there or not for this caller. */
  usageOf(caller: Caller, kind: 'node' | 'vm', id: string): Usage | null
  /** CPU of the last hour in 30 points, for lists. */
  sparks(caller: Caller, kind: 'node' | 'vm', ids: readonly string[]): ReadonlyMap<string, readonly (number | null)[]>
}
/** One figure for /metrics. */
export type Metric = { readonly name: string; readonly help: string; readonly type: 'gauge' | 'counter'; readonly labels?: Readonly<Record<string, string>>; readonly value: number }
export type MetricScope = 'node' | 'cluster'

/** How fresh what this node says is. */
export type Freshness = {
  readonly index: number
  /** Null: in touch with a leader; else when it last was, in wall-clock milliseconds. */
  readonly staleSinceMs: number | null
  readonly quorum: boolean
  readonly leader: { readonly id: string; readonly name: string; readonly url: string } | null
  readonly node: { readonly id: string; readonly name: string }
  readonly clusterName: string
}

/** The lines of a bundle as they are made, but for the last, which proves them. */
export type SupportBundle = { readonly node: string; readonly nowMs: number; readonly lines: AsyncIterable<BundleLine> }

export interface App {
  readonly identity: Identity
  readonly vms: Vms
  readonly consoles: Consoles
  readonly nodes: Nodes
  readonly images: Images
  readonly uploads: Uploads
  readonly operations: Operations
  readonly migrations: Migrations
  readonly users: Users
  readonly roles: Roles
  readonly projects: Projects
  readonly sessions: Sessions
  readonly tokens: Tokens
  readonly membership: Membership
  readonly clusterBackup: ClusterBackups
  readonly members: Members
  readonly records: Records
  /** Asks for what a route declares, as far as that can be told before its target is known; a refused write is noted. @throws FORBIDDEN */
  requireRight(caller: Caller, right: Right, attempt: { readonly command: string; readonly target: string; readonly write: boolean }): void
  freshness(): Freshness
  /** Called when freshness or anything computed at read (presence, load) may have changed; at most a few times a second. */
  onPulse(listener: () => void): Cancel
  /** A linearizable read point: resolves once applied here. @throws NO_QUORUM */
  readBarrier(signal: AbortSignal): Promise<number>
  /** @throws OUTCOME_UNKNOWN after 5 s (the index is not here yet). */
  waitIndex(index: number, signal: AbortSignal): Promise<void>
  /** Null where this node's state is the cluster's, as far as is known; else nothing of it may be answered. */
  divergence(): Divergence | null
  /** Null when ready; else why not. */
  readiness(): string | null
  /** What a ticket for another member stands for: bytes of an image; null for one that is not valid. */
  imageForPeer(ticket: string, signal: AbortSignal): ImageBytes | null
  /** Of this node, on record. @param caller null for root on the host. @throws FORBIDDEN; OVERLOADED while another is being made */
  supportBundle(caller: Caller | null): SupportBundle
  /** The same for the node itself, whatever else goes on. */
  evidence(): SupportBundle
  readonly measures: Measures
  /** Figures for /metrics, declared as data: of this node, or of all as they were heard. */
  metrics(caller: Caller, scope: MetricScope): readonly Metric[]
  /** A request was answered; streams are not counted. */
  answered(request: { readonly status: number; readonly seconds: number }): void
}

/** What the control socket (root on this host only) may ask. */
export interface Control {
  status(): {
    readonly clustered: boolean; readonly nodeId: string; readonly name: string; readonly halted: string | null; readonly url: string
    /** SHA-256 of the certificate that it serves with while it is in no cluster. */
    readonly fingerprint: string
    readonly discovery: boolean
    /** The last cluster it was removed from, while it is in none; `folder` holds what it had of it. */
    readonly removed: { readonly clusterName: string; readonly at: string; readonly folder: string } | null
  }
  /** How consensus is, as this node sees it, whether there is a leader or not; a member that does not answer takes a second. @throws NOT_CLUSTERED */
  members(): Promise<ClusterMembers>
  /** @throws ALREADY_MEMBER */
  init(body: unknown): Promise<{ readonly caCertificate: string; readonly adminUser: string; readonly adminPassword: string; readonly token: string }>
  /** `body`: {token}. Resolves when this node is a member that has caught up. */
  join(body: unknown): Promise<{ readonly nodeId: string; readonly name: string }>
  /** Leaves the cluster in an orderly way. @throws NOT_CLUSTERED, IN_USE, STATE_CONFLICT */
  leave(): Promise<{ readonly clusterName: string }>
  /** `body`: {name}. A new password for a user, shown this once. @throws NOT_FOUND */
  resetPassword(body: unknown): Promise<{ readonly user: string; readonly password: string }>
  /**
   * Founds a new cluster on this host, which is in none, from a backup's bytes. `options`: {passphrase?, name?, dryRun?}.
   * @throws ALREADY_MEMBER, BACKUP_DAMAGED, BACKUP_NEWER, PASSPHRASE_WRONG, INVALID
   */
  restore(options: unknown, bytes: AsyncIterable<Uint8Array>): Promise<RestoreAnswer>
  /** As `ClusterBackups.backup`, by root on this host. @throws NOT_CLUSTERED as well */
  backup(body: unknown): Promise<BackupFile>
  /** This node goes on as the only one of its cluster, whose quorum is lost. `body`: {othersAreOff?, acceptLoss?, dryRun?}. @throws NOT_CLUSTERED, STATE_CONFLICT */
  recover(body: unknown): Promise<RecoverAnswer>
  /** Of this node, whatever state it is in. @throws NOT_CLUSTERED, OVERLOADED */
  supportBundle(): SupportBundle
  doctor(): Promise<readonly { readonly check: string; readonly outcome: 'good' | 'warning' | 'bad'; readonly measured: string; readonly advice: string }[]>
}

/** What a refounded cluster does not have any more; names, sorted. */
type Losses = { readonly droppedNodes: readonly string[]; readonly lostVms: readonly string[]; readonly lostImages: readonly string[] }
export type RestoreAnswer = Losses & {
  readonly dryRun: boolean
  readonly backup: { readonly clusterName: string; readonly clusterId: string; readonly createdAt: string; readonly node: string; readonly version: string; readonly index: number; readonly term: number; readonly local: boolean; readonly bytes: number; readonly checksum: string; readonly sealed: boolean }
  /** Records by table. */
  readonly records: Readonly<Record<string, number>>
  readonly clusterName: string
  readonly clusterId: string
  /** The former authority goes on where the key was in the backup; else clients have to trust this new one. */
  readonly caCertificate: string
  readonly keptAuthority: boolean
  /** Sentences. */
  readonly notes: readonly string[]
}
export type RecoverAnswer = Losses & {
  readonly dryRun: boolean
  readonly clusterName: string
  readonly node: string
  readonly epoch: number
  readonly term: number
  /** End of this node's log: all of it counts as committed. */
  readonly lastIndex: number
  /** Known to be committed; what follows up to `lastIndex` may or may not have been acknowledged. */
  readonly commit: number
  /** Its log was damaged: what was acknowledged may be missing. Only by `acceptLoss`. */
  readonly mayLack: boolean
  /** When this node last was in touch with a leader; null where that was before its daemon began. */
  readonly lastLeaderAt: string | null
  /** Of the last entry, by its leader's clock. */
  readonly lastEntryAt: string
  readonly members: readonly { readonly name: string; readonly voter: boolean; readonly answers: boolean; readonly lastIndex: number | null }[]
  readonly notes: readonly string[]
}
