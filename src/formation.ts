// How a node becomes a member: forms a cluster of its own, joins one by a token, or resumes the one it was in.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CertificateRenewal } from './certificate-renewal.ts'
import { caKeyPurpose, sessionKeyPurpose } from './app/keys.ts'
import { parseInput } from './app/parse.ts'
import type { Halt } from './cluster/status.ts'
import { forgetLog } from './db/log-guard.ts'
import { createTlsKey } from './drivers/crypto/certificate.ts'
import { powerOff } from './power-off.ts'
import { createVault } from './drivers/crypto/vault.ts'
import { askToJoin } from './drivers/join-client.ts'
import { openIdentity } from './identity-file.ts'
import { changeOver, putAside, readDeparture, writeNextMembership, type Departure } from './departure.ts'
import { StandingWatch } from './standing.ts'
import { parseRecovery, planRecovery, writeRecovered } from './recover-cluster.ts'
import { planRestore, writeRestored } from './restore-cluster.ts'
import type { RecoverAnswer, RestoreAnswer } from './app/face.ts'
import type { Refounded } from './state/refounding.ts'
import { readSuperseded, supersededReason, writeSuperseded, type Superseded } from './superseded-file.ts'
import { httpAddressOf, openMember, peerAddressOf, raftDirectory, stateDirectory, type Host, type Member } from './member.ts'
import { membersFileName } from './members-file.ts'
import { readMembership, writeMembership, type MembershipRecord } from './membership-file.ts'
import { clusterInitSchema, epochOf } from './model/cluster.ts'
import { makeCommand } from './model/command.ts'
import { OperationalError } from './model/error.ts'
import { featureLevel } from './model/feature-level.ts'
import { uuidV7, type NodeId, type TokenId, type UserId } from './model/id.ts'
import type { JoinRequest } from './model/join.ts'
import { bringSchema, type Bring } from './model/bring.ts'
import { bringOf } from './state/bring.ts'
import { orThrow } from './app/write.ts'
import { joinProofText } from './model/node-proof.ts'
import { peerIdOfPrivateKey } from './p2p/peer-id.ts'
import { z } from 'zod'

const joinSchema = z.strictObject({ token: z.string().max(16_384), keepVms: z.boolean().default(false) })
const adminName = 'admin'
const firstTokenName = 'initial'
const keyBytes = 32
/** A joiner that has not caught up by then goes on in the background; the asker is told. */
const catchUpMsMax = 60_000
const catchUpPollMs = 50
const leaveMsMax = 30_000

export type InitAnswer = { readonly caCertificate: string; readonly adminUser: string; readonly adminPassword: string; readonly token: string }
type Ways = { readonly attach: (member: Member | null) => void; readonly onHalted: (halt: Halt) => void }

export class Formation {
  readonly #ways: Ways
  /** Its identity is another one after a removal. */
  #host: Host
  #member: Member | null = null
  #renewal: CertificateRenewal | null = null
  #standing: StandingWatch | null = null
  #busy = false
  #superseding = false
  #departing: Promise<void> | null = null
  #departure: Departure | null = null

  constructor(host: Host, ways: Ways) {
    this.#host = host
    this.#ways = ways
  }

  get member(): Member | null {
    return this.#member
  }

  /** The name in the cluster, which may be another one than the configured. */
  get name(): string {
    return this.#names().commonName
  }

  /** The last removal from a cluster; null while this node is in one, or never was. */
  get departure(): Departure | null {
    return this.#member === null ? this.#departure : null
  }

  get host(): Host {
    return this.#host
  }

  /** Opens the membership that was kept; null: the node waits to be told. */
  async resume(record: MembershipRecord | null): Promise<void> {
    this.#departure = await readDeparture(this.#host.config.dataDir)
    if (await this.#changeOver()) return this.resume(await readMembership(this.#host.config.dataDir))
    if (record !== null) await this.#open(record, { bootstrap: false, resumes: true })
  }

  async stop(): Promise<void> {
    await this.#departing
    this.#renewal?.stop()
    this.#standing?.stop()
    await this.#member?.stop()
  }

  /**
   * The orderly way out: the node is removed, told so, and puts its data aside.
   * @throws NOT_CLUSTERED; IN_USE while it has VMs; STATE_CONFLICT for the last node; OUTCOME_UNKNOWN where it takes too long
   */
  async leave(): Promise<{ readonly clusterName: string }> {
    const { identity, clock } = this.#host
    const member = this.#member
    if (member === null) throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster.')
    const clusterName = member.node.cluster.state.tables.cluster.get('cluster')?.name ?? ''
    if ((await readSuperseded(this.#host.config.dataDir)) !== null) {
      // There is nobody to ask.
      this.#depart(member, 'its cluster was founded anew without it')
      await this.#departing
      return { clusterName }
    }
    const name = this.#names().commonName
    const actor = { kind: 'system' as const, id: identity.nodeId, name: `root of ${name}`, address: '' }
    const result = await member.node.cluster.propose(makeCommand('node.remove', { id: uuidV7(clock.nowMs(), this.#host.random.bytes(10)), actor }, { id: identity.nodeId as NodeId, force: false }), {})
    if (result.kind === 'refused') throw new OperationalError(result.code, result.message)
    if (!(await this.#until(() => this.#member === null, leaveMsMax))) throw new OperationalError('OUTCOME_UNKNOWN', 'The node is being removed, but was not let go of yet; look again in a moment.')
    await this.#departing
    return { clusterName }
  }

  /** This node was removed: it stops taking part, cuts the power of what runs for the cluster, and begins anew as nobody's. */
  #depart(member: Member, because: string): void {
    if (this.#departing !== null || this.#member !== member) return
    this.#departing = this.#putAside(member, because).catch((error: unknown) => {
      // Half put aside; the process ends, and the next start finishes it.
      this.#ways.onHalted({ kind: 'storage', reason: 'the node was removed, but its data could not be put aside', cause: error })
    }).finally(() => (this.#departing = null))
  }

  async #putAside(member: Member, because: string): Promise<void> {
    const { log, clock, config, storage, random } = this.#host
    const nodeName = this.#names().commonName
    const clusterName = member.node.cluster.state.tables.cluster.get('cluster')?.name ?? ''
    log.warn('this node was removed from its cluster', { clusterName, because })
    this.#renewal?.stop()
    this.#standing?.stop()
    // First whoever would start a VM again: a controller that sees its power cut puts that right within milliseconds.
    await member.stop()
    await powerOff(this.#host)
    this.#departure = await putAside(config.dataDir, { clusterName, nodeName, nowMs: clock.nowMs() })
    await forgetLog(this.#host.local)
    await storage.start()
    const identity = await openIdentity(config.dataDir, { nowMs: clock.nowMs(), random })
    this.#host = { ...this.#host, identity, vault: createVault(identity) }
    this.#member = null
    this.#ways.attach(null)
  }

  /** See `Control.restore`. */
  restore(options: unknown, bytes: AsyncIterable<Uint8Array>): Promise<RestoreAnswer> {
    return this.#once(async () => {
      const { answer, state, record } = await planRestore(this.#host, this.#names(), options, bytes)
      if (answer.dryRun) return answer
      // Until the membership is written all of it is nobody's: a crash leaves a host in no cluster.
      await this.#forget()
      await writeRestored(this.#host, state)
      // Before the node takes part: what it acknowledges from here on must not be nobody's.
      await writeMembership(this.#host.config.dataDir, record)
      const member = await this.#open(record, { bootstrap: false, resumes: true })
      await this.#until(() => (member.node.cluster.state.tables.node.get(this.#host.identity.nodeId)?.announcement ?? null) !== null)
      return answer
    })
  }

  /** See `Control.recover`. */
  recover(body: unknown): Promise<RecoverAnswer> {
    const { dryRun, acceptLoss } = parseRecovery(body)
    return this.#alone(async () => {
      const member = this.#member
      const record = await readMembership(this.#host.config.dataDir)
      if (member === null || record === null) throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster.')
      const plan = await planRecovery(this.#host, member, { acceptLoss })
      if (dryRun) return plan
      const on = plan.members.filter(({ answers }) => answers).map(({ name }) => name)
      if (on.length > 0) throw new OperationalError('STATE_CONFLICT', `${on.join(', ')} ${on.length === 1 ? 'answers' : 'answer'}, so not all others are off: stop the daemon there first (systemctl stop novacron). Nothing was changed.`)
      // While the others were asked this node may have been removed, and what it has be on its way aside.
      if (this.#member !== member || this.#departing !== null) throw new OperationalError('STATE_CONFLICT', 'This node is being put out of its cluster. Nothing was changed.')
      const { log } = this.#host
      log.warn('the cluster goes on with this node alone, by the word of root', { lastIndex: plan.lastIndex, commit: plan.commit, epoch: plan.epoch })
      await this.#close()
      let lost: Pick<Refounded, 'droppedNodes' | 'lostVms' | 'lostImages'> = plan
      let fault: { readonly cause: unknown } | null = null
      try {
        lost = await writeRecovered(this.#host, { acceptLoss: acceptLoss && plan.mayLack })
      } catch (cause) {
        fault = { cause }
      }
      // In the new cluster, or still in the former one.
      const opened = await this.#open(record, { bootstrap: false, resumes: true })
      if (fault !== null) {
        // Past its one atomic step it is done all the same: the start has finished it.
        if (epochOf(opened.node.cluster.state.tables.cluster.get('cluster')) < plan.epoch) throw fault.cause
        log.warn('the cluster was founded anew, though writing it was cut short', { error: String(fault.cause) })
      }
      const { droppedNodes, lostVms, lostImages } = lost
      if (!(await this.#until(() => this.#member?.node.cluster.status().quorum === true))) throw new OperationalError('OUTCOME_UNKNOWN', 'The cluster was founded anew, but does not lead itself yet; look at "novacron cluster status".')
      return { ...plan, dryRun: false, droppedNodes, lostVms, lostImages }
    })
  }

  /** From now on, and after every restart. */
  #supersede(member: Member, { nodeId, epoch }: { readonly nodeId: string; readonly epoch: number }): void {
    if (this.#member !== member || this.#superseding) return
    this.#superseding = true
    const { clock, config } = this.#host
    const superseded: Superseded = { byId: nodeId, by: member.node.cluster.state.tables.node.get(nodeId)?.name ?? nodeId, epoch, atMs: clock.nowMs() }
    // First of all it stops taking part; should the word be lost in a crash, it is told again.
    member.node.cluster.supersede(supersededReason(superseded))
    writeSuperseded(config.dataDir, superseded).catch((error: unknown) => {
      this.#ways.onHalted({ kind: 'storage', reason: 'the node could not note that its cluster was founded anew', cause: error })
    })
  }

  init(body: unknown): Promise<InitAnswer> {
    const { name } = parseInput(clusterInitSchema, body ?? {})
    return this.#once(() => this.#form(name))
  }

  join(body: unknown): Promise<{ readonly nodeId: string; readonly name: string }> {
    const { token, keepVms } = parseInput(joinSchema, body)
    const member = this.#member
    if (keepVms && member !== null) return this.#alone(() => this.#joinWith(member, token))
    return this.#once(() => this.#joinBy(token))
  }

  async #alone<T>(action: () => Promise<T>): Promise<T> {
    if (this.#busy || this.#departing !== null) throw new OperationalError('STATE_CONFLICT', 'This node is being put into a cluster, or out of one, already.')
    this.#busy = true
    try {
      return await action()
    } finally {
      this.#busy = false
    }
  }

  async #once<T>(action: () => Promise<T>): Promise<T> {
    if (this.#member !== null) throw new OperationalError('ALREADY_MEMBER', 'This node is in a cluster already. Nothing was changed.')
    return this.#alone(async () => {
      const kept = await readMembership(this.#host.config.dataDir)
      if (kept !== null) throw new OperationalError('ALREADY_MEMBER', `This node belongs to cluster ${kept.clusterName}, which could not be opened: see its log, then restart it. Nothing was changed.`)
      return await action()
    })
  }

  async #form(clusterName: string): Promise<InitAnswer> {
    const { vault, random, clock, config, identity } = this.#host
    const clusterId = uuidV7(clock.nowMs(), random.bytes(10))
    const clusterKey = random.bytes(keyBytes)
    const authority = await vault.createAuthority({ clusterName, nowMs: clock.nowMs() })
    const tlsKey = await createTlsKey()
    const certificatePem = await vault.issueCertificate({
      caCertificatePem: authority.certificatePem, caKeyPem: authority.keyPem, publicKeyPem: tlsKey.publicKeyPem, ...this.#names(), nowMs: clock.nowMs(),
    })
    const record: MembershipRecord = { format: 1, clusterId, clusterName, caCertificate: authority.certificatePem, certificatePem, tlsKeyPem: tlsKey.keyPem, members: [] }
    const [password, secret] = [vault.readablePassword(), vault.apiTokenSecret()]
    const admin = { id: this.#newId() as UserId, name: adminName, passwordHash: await vault.hashPassword(password) }
    const wrapKey = Buffer.from(identity.x25519Public).toString('base64url')
    const command = makeCommand('cluster.init', { id: this.#newId(), actor: { kind: 'system', id: identity.nodeId, name: 'init', address: '' } }, {
      clusterId, name: clusterName, caCertificate: authority.certificatePem,
      caKeySealed: vault.seal(clusterKey, new TextEncoder().encode(authority.keyPem), caKeyPurpose),
      sessionKeySealed: vault.seal(clusterKey, random.bytes(keyBytes), sessionKeyPurpose),
      node: { id: identity.nodeId as NodeId, name: config.name, peerId: peerIdOfPrivateKey(identity.ed25519Seed), wrapKey, wrappedClusterKey: vault.wrapKey(wrapKey, clusterKey) },
      admin,
      token: { id: this.#newId() as TokenId, name: firstTokenName, secretHash: vault.sha256Hex(secret) },
    })
    await this.#forget()
    const member = await this.#open(record, { bootstrap: true, resumes: false })
    try {
      const result = await member.node.cluster.propose(command, {})
      if (result.kind === 'refused') throw new OperationalError(result.code, result.message)
      await writeMembership(config.dataDir, record)
    } catch (error) {
      await this.#close()
      throw error
    }
    await this.#until(() => (member.node.cluster.state.tables.node.get(identity.nodeId)?.announcement ?? null) !== null)
    return { caCertificate: authority.certificatePem, adminUser: adminName, adminPassword: password, token: secret }
  }

  /** The only node of a cluster takes its VMs into another: asked first, then its own cluster is put aside. VMs run on meanwhile. */
  async #joinWith(member: Member, token: string): Promise<{ readonly nodeId: string; readonly name: string }> {
    const { cluster } = member.node
    await cluster.readBarrier()
    const bring = orThrow(() => bringOf(cluster.state, this.#host.identity.nodeId))
    return this.#joinBy(token, { bring: bringSchema.parse(bring), from: member })
  }

  async #joinBy(token: string, along?: { readonly bring: Bring; readonly from: Member }): Promise<{ readonly nodeId: string; readonly name: string }> {
    const { vault, config, identity } = this.#host
    const content = vault.parseJoinToken(token.trim())
    const tlsKey = await createTlsKey()
    const request = await this.#request(content.t, { tlsPublicKeyPem: tlsKey.publicKeyPem, ...(along === undefined ? {} : { bring: along.bring }) })
    const answer = await askToJoin({ token: token.trim(), fingerprint: content.f, addresses: content.a, request })
    if (answer.clusterId !== content.c || vault.fingerprint(answer.caCertificate) !== content.f) throw new OperationalError('TOKEN_OTHER_CLUSTER', 'The node that answered belongs to another cluster than the token.')
    const record: MembershipRecord = {
      format: 1, clusterId: answer.clusterId, clusterName: answer.clusterName, caCertificate: answer.caCertificate,
      certificatePem: answer.certificatePem, tlsKeyPem: tlsKey.keyPem, members: answer.members,
    }
    if (along === undefined) await this.#forget()
    else {
      // What follows can be cut short anywhere: the next start finishes it.
      await writeNextMembership(config.dataDir, record)
      await this.#close()
      await this.#changeOver()
    }
    // Before the node takes part: from here on it is this member and no other, whatever happens.
    await writeMembership(config.dataDir, record)
    const member = await this.#open(record, { bootstrap: false, resumes: false })
    const caughtUp = await this.#until(() => member.node.cluster.state.tables.node.has(identity.nodeId) && member.node.cluster.status().quorum)
    if (!caughtUp) throw new OperationalError('OUTCOME_UNKNOWN', 'The node was admitted, but has not caught up yet. It goes on trying; look at "novacron node list".')
    return { nodeId: identity.nodeId, name: config.name }
  }

  async #request(tokenId: string, { tlsPublicKeyPem, bring }: Pick<JoinRequest, 'tlsPublicKeyPem' | 'bring'>): Promise<JoinRequest> {
    const { config, identity, version, probe, storage, vault } = this.#host
    const [load, usage] = [await probe.load(), await storage.usage()]
    const { commonName: name, names, addresses } = this.#names()
    const request: Omit<JoinRequest, 'proof'> = {
      node: { id: identity.nodeId as NodeId, name, peerId: peerIdOfPrivateKey(identity.ed25519Seed), wrapKey: Buffer.from(identity.x25519Public).toString('base64url') },
      // The hypervisor is announced by the node itself once it is a member; until then nothing is placed here.
      announcement: {
        version, featureLevel, peerAddress: peerAddressOf(config), httpAddress: httpAddressOf(config), accelerator: 'none', hypervisor: '',
        capacity: { cpus: 1, memoryMiB: Math.max(1, Math.floor(load.memoryTotalBytes / 2 ** 20)), storageBytes: usage.totalBytes },
      },
      tlsPublicKeyPem, names, addresses, ...(bring === undefined ? {} : { bring }),
    }
    return { ...request, proof: vault.signAsNode(joinProofText(tokenId, request)) }
  }

  #names(): { readonly commonName: string; readonly names: string[]; readonly addresses: string[]; readonly nodeId: string } {
    const { config: { advertise, name: configured }, identity } = this.#host
    // The cluster's word counts: it may have been renamed.
    const name = this.#member?.node.cluster.state.tables.node.get(identity.nodeId)?.name ?? configured
    return { commonName: name, names: [name, 'localhost'], addresses: [...new Set([advertise, '127.0.0.1'])], nodeId: identity.nodeId }
  }

  /** From the cluster this node was alone in to the one that has admitted it; false where there is none. */
  async #changeOver(): Promise<boolean> {
    const { config, local, clock } = this.#host
    return changeOver(config.dataDir, { nowMs: clock.nowMs(), forget: () => forgetLog(local) })
  }

  /** A log left by an attempt that did not end in a membership is nobody's; and whom a former membership knew is no word against the next one's. */
  async #forget(): Promise<void> {
    const { config, local } = this.#host
    await rm(raftDirectory(config.dataDir), { recursive: true, force: true })
    await rm(stateDirectory(config.dataDir), { recursive: true, force: true })
    await rm(join(config.dataDir, membersFileName), { force: true })
    await forgetLog(local)
  }

  async #open(record: MembershipRecord, how: { readonly bootstrap: boolean; readonly resumes: boolean }): Promise<Member> {
    const { clock, log, vault, identity } = this.#host
    const farewell = () => {
      // The one who says so waits for an answer.
      clock.after(0, () => this.#depart(member, 'a member said so'))
    }
    const superseded = await readSuperseded(this.#host.config.dataDir)
    this.#superseding = superseded !== null
    const member: Member = await openMember(this.#host, record, {
      ...how, onHalted: this.#ways.onHalted, onFarewell: farewell,
      superseded: superseded === null ? null : supersededReason(superseded), onSuperseded: (by) => this.#supersede(member, by),
    })
    this.#member = member
    this.#ways.attach(member)
    this.#renew(record, member)
    this.#standing = new StandingWatch({ nodeId: identity.nodeId, record, node: member.node, onRemoved: (by) => this.#depart(member, `by ${by}`) }, { clock, log, vault })
    this.#standing.start()
    return member
  }

  #renew(record: MembershipRecord, member: Member): void {
    const { clock, log, vault, config } = this.#host
    this.#renewal = new CertificateRenewal(record, {
      clock, log, vault, keys: member.node.app.keys, names: () => this.#names(),
      adopt: async (renewed) => {
        await writeMembership(config.dataDir, renewed)
        member.serveWith(renewed)
        this.#ways.attach(member)
      },
    })
    this.#renewal.start()
    const renewal = this.#renewal
    member.node.cluster.watch((event) => {
      if (event.kind === 'applied' && event.events.some(({ reason, resourceId }) => reason === 'node.renamed' && resourceId === this.#host.identity.nodeId)) void renewal.look()
    })
  }

  async #close(): Promise<void> {
    this.#renewal?.stop()
    this.#standing?.stop()
    this.#ways.attach(null)
    // From here on it is nobody's to put aside, whatever it still hears.
    const member = this.#member
    this.#member = null
    await member?.stop()
  }

  /** False where the time was over. */
  #until(holds: () => boolean, limitMs = catchUpMsMax): Promise<boolean> {
    const { clock } = this.#host
    const deadlineMs = clock.monotonicMs() + limitMs
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const look = () => {
      if (holds()) resolve(true)
      else if (clock.monotonicMs() > deadlineMs) resolve(false)
      else clock.after(catchUpPollMs, look)
    }
    look()
    return promise
  }

  #newId(): string {
    return uuidV7(this.#host.clock.nowMs(), this.#host.random.bytes(10))
  }
}
