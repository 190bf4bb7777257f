// Use cases of the cluster as a whole: its view, join tokens, and the admission of new nodes.
import type { ClusterView } from '../model/cluster.ts'
import { OperationalError } from '../model/error.ts'
import { isId, type TokenId } from '../model/id.ts'
import { joinRequestSchema, type JoinAnswer, type JoinRequest, type NodeStanding } from '../model/join.ts'
import { joinProofText, standingProofText } from '../model/node-proof.ts'
import { joinTokenCreateSchema, type StoredJoinToken } from '../model/token.ts'
import { authorize } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, JoinTokenView, MadeJoinToken, Membership, WriteOptions, Written } from './face.ts'
import type { ClusterKeys } from './keys.ts'
import { parseInput } from './parse.ts'
import { phaseOf } from './present.ts'
import { dryRun, orThrow, propose } from './write.ts'
import { Refusal } from '../state/transaction.ts'

/** Addresses a join token carries: any of them will do. */
const tokenAddressesMax = 5

export class MembershipUseCases implements Membership {
  readonly #context: AppContext
  readonly #keys: ClusterKeys

  constructor(context: AppContext, keys: ClusterKeys) {
    this.#context = context
    this.#keys = keys
  }

  view(caller: Caller): ClusterView {
    authorize(caller, 'read', '', 'the cluster')
    const { state, nodeId } = this.#context
    const status = this.#context.ports.consensus.status()
    const cluster = this.#cluster()
    const names = (ids: readonly string[]) => ids.map((id) => this.#context.nodeName(id) ?? id).toSorted()
    const vms: Record<string, number> = {}
    for (const vm of state.tables.vm.values()) {
      const phase = phaseOf(this.#context, vm)
      vms[phase] = (vms[phase] ?? 0) + 1
    }
    return {
      id: cluster.id, name: cluster.name,
      node: this.#context.nodeName(nodeId) ?? '', nodeId,
      version: this.#context.version,
      leader: this.#context.nodeName(status.leaderId), leaderId: status.leaderId,
      term: status.term, quorum: status.quorum,
      voters: names(status.configuration.voters), learners: names(status.configuration.learners),
      commitIndex: status.commit, appliedIndex: state.index,
      nodes: state.tables.node.size, nodesReady: this.#context.readyNodeIds().size,
      vms, createdAt: isoTime(cluster.createdMs),
    }
  }

  async createJoinToken(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<MadeJoinToken>> {
    authorize(caller, 'administer', '', 'join tokens')
    const input = parseInput(joinTokenCreateSchema, body ?? {})
    const { vault } = this.#context.ports
    const cluster = this.#cluster()
    const secret = vault.secret()
    const id = this.#context.newId() as TokenId
    const payload = { id, secretHash: vault.sha256Hex(secret), lifeSeconds: input.lifeSeconds }
    if (options.dryRun) return { ...dryRun(this.#context, caller, 'joinToken.create', payload, 'joinToken'), differences: [{ path: '', before: null, after: { lifeSeconds: input.lifeSeconds } }] }
    const done = await propose(this.#context, caller.actor, 'joinToken.create', payload, options)
    if (done.replayed === true) throw new OperationalError('STATE_CONFLICT', 'That join token was shown once and is not kept. Make another with a new key.')
    const token = vault.encodeJoinToken({ c: cluster.id, t: id, s: secret, f: vault.fingerprint(cluster.caCertificate), a: this.#addresses() })
    const record = this.#context.state.tables.joinToken.get(done.id)
    return { id: done.id, token, expiresAt: isoTime(record?.expiresMs ?? 0) }
  }

  listJoinTokens(caller: Caller): readonly JoinTokenView[] {
    authorize(caller, 'administer', '', 'join tokens')
    return [...this.#context.state.tables.joinToken.values()].toSorted((left, right) => right.createdMs - left.createdMs).map((token) => this.#viewToken(token))
  }

  async revokeJoinToken(caller: Caller, id: string, options: WriteOptions): Promise<Written<null>> {
    authorize(caller, 'administer', '', 'join tokens')
    if (!isId(id)) throw new OperationalError('NOT_FOUND', 'There is no such join token.')
    const payload = { id: id as TokenId }
    if (options.dryRun) {
      const preview = dryRun(this.#context, caller, 'joinToken.revoke', payload, 'joinToken')
      const before = this.listJoinTokens(caller).find((token) => token.id === id)?.state ?? null
      return { ...preview, differences: before === 'revoked' ? [] : [{ path: 'state', before, after: 'revoked' }] }
    }
    await propose(this.#context, caller.actor, 'joinToken.revoke', payload, options)
    return null
  }

  async admit(token: string, body: unknown, address: string): Promise<JoinAnswer> {
    const { vault, clock, log } = this.#context.ports
    const content = vault.parseJoinToken(token)
    const cluster = this.#cluster()
    if (content.c !== cluster.id) throw new OperationalError('TOKEN_OTHER_CLUSTER', `The join token belongs to another cluster than ${cluster.name}.`)
    const secretHash = vault.sha256Hex(content.s)
    orThrow(() => this.#requireUsable(content.t, secretHash))
    const request = parseInput(joinRequestSchema, body)
    requireOwnNames(request)
    this.#requireLevel(request)
    if (!vault.verifyNode(request.node.peerId, joinProofText(content.t, request), request.proof)) {
      throw new OperationalError('TOKEN_INVALID', 'The joiner does not hold the key that it wants to join with.')
    }
    const authority = this.#keys.authority()
    const certificatePem = await vault.issueCertificate({
      caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, publicKeyPem: request.tlsPublicKeyPem,
      commonName: request.node.name, names: request.names, addresses: request.addresses, nodeId: request.node.id, nowMs: clock.nowMs(),
    })
    const wrappedClusterKey = vault.wrapKey(request.node.wrapKey, this.#keys.clusterKey())
    const actor = { kind: 'system' as const, id: content.t, name: `join token ${content.t.slice(-8)}`, address }
    const admission = { node: { ...request.node, wrappedClusterKey }, announcement: request.announcement, joinTokenId: content.t as TokenId, joinSecretHash: secretHash }
    if (request.bring === undefined) await propose(this.#context, actor, 'node.admit', admission, null)
    else await propose(this.#context, actor, 'node.admitWith', { ...admission, bring: request.bring }, null)
    log.info('node admitted', { nodeId: request.node.id, name: request.node.name, address })
    const members = [...this.#context.state.tables.node.values()]
      .filter((node) => node.announcement !== null)
      .map((node) => ({ nodeId: node.id, name: node.name, peerId: node.peerId, address: node.announcement?.peerAddress ?? '' }))
    return { clusterId: cluster.id, clusterName: cluster.name, caCertificate: cluster.caCertificate, certificatePem, wrappedClusterKey, members }
  }

  isUsable(token: string): boolean {
    try {
      const content = this.#context.ports.vault.parseJoinToken(token)
      this.#requireUsable(content.t, this.#context.ports.vault.sha256Hex(content.s))
      return true
    } catch {
      return false
    }
  }

  standing(nodeId: string, signature: string): NodeStanding {
    const { tables } = this.#context.state
    const former = tables.formerNode.get(nodeId)
    const peerId = former?.peerId ?? tables.node.get(nodeId)?.peerId
    if (peerId === undefined || !this.#context.ports.vault.verifyNode(peerId, standingProofText(this.#cluster().id, nodeId), signature)) {
      throw new OperationalError('UNAUTHENTICATED', 'This is not signed by a node that is or was a member here.')
    }
    // It was not removed, its cluster was founded anew without it: it is told so at the handshake of nodes, and keeps what it has.
    return former === undefined || former.epoch !== undefined ? { removed: false, at: null, by: null } : { removed: true, at: isoTime(former.removedMs), by: former.actor }
  }

  /** Asked before a certificate is issued; apply asks again. */
  #requireUsable(id: string, secretHash: string): void {
    const token = this.#context.state.tables.joinToken.get(id)
    if (token === undefined || !this.#context.ports.vault.equalSecrets(token.secretHash, secretHash)) throw new Refusal('TOKEN_INVALID', 'The join token is not known here.')
    if (token.revokedMs !== null) throw new Refusal('TOKEN_INVALID', 'The join token was revoked.')
    if (token.expiresMs < this.#context.ports.clock.nowMs()) throw new Refusal('TOKEN_EXPIRED', 'The join token has expired. Make a new one.')
  }

  /** What older software does not know may be in the log by now; it would halt there. @throws STATE_CONFLICT */
  #requireLevel({ node, announcement: { version, featureLevel: level } }: JoinRequest): void {
    const newer = [...this.#context.state.tables.node.values()].find((member) => (member.announcement?.featureLevel ?? 0) > level)
    if (newer === undefined) return
    throw new OperationalError('STATE_CONFLICT', `${node.name} runs ${version.slice(0, 64)}, which is older than what ${newer.name} runs (${newer.announcement?.version ?? ''}). Update ${node.name} first, then let it join.`)
  }

  #viewToken(token: StoredJoinToken): JoinTokenView {
    const over = token.expiresMs < this.#context.ports.clock.nowMs()
    const state = token.revokedMs !== null ? 'revoked' : token.usedByNodeId !== null ? 'used' : over ? 'expired' : 'valid'
    return { id: token.id, createdAt: isoTime(token.createdMs), expiresAt: isoTime(token.expiresMs), state, usedBy: this.#context.nodeName(token.usedByNodeId) }
  }

  /** This node first: whoever made the token can reach it. */
  #addresses(): string[] {
    const nodes = [...this.#context.state.tables.node.values()].toSorted((left, right) => Number(right.id === this.#context.nodeId) - Number(left.id === this.#context.nodeId))
    const addresses = nodes.map((node) => node.announcement?.httpAddress ?? '').filter((address) => address !== '')
    if (addresses.length === 0) throw new OperationalError('STATE_CONFLICT', 'No node has announced its address yet. Try again in a second.')
    return addresses.slice(0, tokenAddressesMax)
  }

  #cluster() {
    const cluster = this.#context.state.tables.cluster.get('cluster')
    if (cluster === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node has not caught up with its cluster yet.')
    return cluster
  }
}

const loopback = { names: ['localhost'], addresses: ['127.0.0.1', '::1'] }

/** A joiner gets a certificate for itself only: its name, and the addresses it announces. @throws INVALID */
function requireOwnNames(request: JoinRequest): void {
  const { node, announcement } = request
  const names = new Set([...loopback.names, node.name])
  const addresses = new Set([...loopback.addresses, hostOf(announcement.httpAddress), hostOf(announcement.peerAddress)])
  const fields = [
    ...request.names.flatMap((name, at) => (names.has(name) ? [] : [{ path: `names.${at}`, message: 'is not the node\'s own' }])),
    ...request.addresses.flatMap((address, at) => (addresses.has(address) ? [] : [{ path: `addresses.${at}`, message: 'is not announced by the node' }])),
  ]
  if (fields.length > 0) throw new OperationalError('INVALID', 'A certificate is issued for the joiner\'s own name and addresses only.', { data: { fields } })
}

/** Of host:port, where an IPv6 host may stand in brackets. */
function hostOf(address: string): string {
  return address.slice(0, Math.max(0, address.lastIndexOf(':'))).replace(/^\[|\]$/g, '')
}
