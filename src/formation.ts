// How a node becomes a member: forms a cluster of its own, joins one by a token, or resumes the one it was in.
import { rm } from 'node:fs/promises'
import { CertificateRenewal } from './certificate-renewal.ts'
import { caKeyPurpose, sessionKeyPurpose } from './app/keys.ts'
import { parseInput } from './app/parse.ts'
import type { Halt } from './cluster/status.ts'
import { forgetLog } from './db/log-guard.ts'
import { createTlsKey } from './drivers/crypto/authority.ts'
import { askToJoin } from './drivers/join-client.ts'
import { httpAddressOf, openMember, peerAddressOf, raftDirectory, stateDirectory, type Host, type Member } from './member.ts'
import { readMembership, writeMembership, type MembershipRecord } from './membership-file.ts'
import { clusterInitSchema } from './model/cluster.ts'
import { makeCommand } from './model/command.ts'
import { OperationalError } from './model/error.ts'
import { featureLevel } from './model/feature-level.ts'
import { uuidV7, type NodeId, type TokenId, type UserId } from './model/id.ts'
import type { JoinRequest } from './model/join.ts'
import { peerIdOfPrivateKey } from './p2p/peer-id.ts'
import { z } from 'zod'

const joinSchema = z.strictObject({ token: z.string().max(16_384) })
const adminName = 'admin'
const firstTokenName = 'initial'
const keyBytes = 32
/** A joiner that has not caught up by then goes on in the background; the asker is told. */
const catchUpMsMax = 60_000
const catchUpPollMs = 50

export type InitAnswer = { readonly caCertificate: string; readonly adminUser: string; readonly adminPassword: string; readonly token: string }
type Ways = { readonly attach: (member: Member | null) => void; readonly onHalted: (halt: Halt) => void }

export class Formation {
  readonly #host: Host
  readonly #ways: Ways
  #member: Member | null = null
  #renewal: CertificateRenewal | null = null
  #busy = false

  constructor(host: Host, ways: Ways) {
    this.#host = host
    this.#ways = ways
  }

  get member(): Member | null {
    return this.#member
  }

  /** Opens the membership that was kept; null: the node waits to be told. */
  async resume(record: MembershipRecord | null): Promise<void> {
    if (record !== null) await this.#open(record, false)
  }

  async stop(): Promise<void> {
    this.#renewal?.stop()
    await this.#member?.stop()
  }

  init(body: unknown): Promise<InitAnswer> {
    const { name } = parseInput(clusterInitSchema, body ?? {})
    return this.#once(() => this.#form(name))
  }

  join(body: unknown): Promise<{ readonly nodeId: string; readonly name: string }> {
    const { token } = parseInput(joinSchema, body)
    return this.#once(() => this.#joinBy(token))
  }

  async #once<T>(action: () => Promise<T>): Promise<T> {
    if (this.#member !== null) throw new OperationalError('ALREADY_MEMBER', 'This node is in a cluster already. Nothing was changed.')
    if (this.#busy) throw new OperationalError('STATE_CONFLICT', 'This node is being put into a cluster already.')
    this.#busy = true
    try {
      const kept = await readMembership(this.#host.config.dataDir)
      if (kept !== null) throw new OperationalError('ALREADY_MEMBER', `This node belongs to cluster ${kept.clusterName}, which could not be opened: see its log, then restart it. Nothing was changed.`)
      return await action()
    } finally {
      this.#busy = false
    }
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
    const member = await this.#open(record, true)
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

  async #joinBy(token: string): Promise<{ readonly nodeId: string; readonly name: string }> {
    const { vault, config, identity } = this.#host
    const content = vault.parseJoinToken(token.trim())
    const tlsKey = await createTlsKey()
    const request = await this.#request(tlsKey.publicKeyPem)
    const answer = await askToJoin({ token: token.trim(), fingerprint: content.f, addresses: content.a, request })
    if (answer.clusterId !== content.c || vault.fingerprint(answer.caCertificate) !== content.f) throw new OperationalError('TOKEN_OTHER_CLUSTER', 'The node that answered belongs to another cluster than the token.')
    const record: MembershipRecord = {
      format: 1, clusterId: answer.clusterId, clusterName: answer.clusterName, caCertificate: answer.caCertificate,
      certificatePem: answer.certificatePem, tlsKeyPem: tlsKey.keyPem, members: answer.members,
    }
    await this.#forget()
    // Before the node takes part: from here on it is this member and no other, whatever happens.
    await writeMembership(config.dataDir, record)
    const member = await this.#open(record, false)
    const caughtUp = await this.#until(() => member.node.cluster.state.tables.node.has(identity.nodeId) && member.node.cluster.status().quorum)
    if (!caughtUp) throw new OperationalError('OUTCOME_UNKNOWN', 'The node was admitted, but has not caught up yet. It goes on trying; look at "novacron node list".')
    return { nodeId: identity.nodeId, name: config.name }
  }

  async #request(tlsPublicKeyPem: string): Promise<JoinRequest> {
    const { config, identity, version, probe, storage } = this.#host
    const [load, usage] = [await probe.load(), await storage.usage()]
    const { commonName: name, names, addresses } = this.#names()
    return {
      node: { id: identity.nodeId as NodeId, name, peerId: peerIdOfPrivateKey(identity.ed25519Seed), wrapKey: Buffer.from(identity.x25519Public).toString('base64url') },
      // The hypervisor is announced by the node itself once it is a member; until then nothing is placed here.
      announcement: {
        version, featureLevel, peerAddress: peerAddressOf(config), httpAddress: httpAddressOf(config), accelerator: 'none', hypervisor: '',
        capacity: { cpus: 1, memoryMiB: Math.max(1, Math.floor(load.memoryTotalBytes / 2 ** 20)), storageBytes: usage.totalBytes },
      },
      tlsPublicKeyPem, names, addresses,
    }
  }

  #names(): { readonly commonName: string; readonly names: string[]; readonly addresses: string[] } {
    const { name, advertise } = this.#host.config
    return { commonName: name, names: [name, 'localhost'], addresses: [...new Set([advertise, '127.0.0.1'])] }
  }

  /** A log left by an attempt that did not end in a membership is nobody's. */
  async #forget(): Promise<void> {
    const { config, local } = this.#host
    await rm(raftDirectory(config.dataDir), { recursive: true, force: true })
    await rm(stateDirectory(config.dataDir), { recursive: true, force: true })
    await forgetLog(local)
  }

  async #open(record: MembershipRecord, bootstrap: boolean): Promise<Member> {
    this.#member = await openMember(this.#host, record, { bootstrap, onHalted: this.#ways.onHalted })
    this.#ways.attach(this.#member)
    this.#renew(record, this.#member)
    return this.#member
  }

  #renew(record: MembershipRecord, member: Member): void {
    const { clock, log, vault, config } = this.#host
    this.#renewal = new CertificateRenewal(record, {
      clock, log, vault, keys: member.node.app.keys, names: this.#names(),
      adopt: async (renewed) => {
        await writeMembership(config.dataDir, renewed)
        member.serveWith(renewed)
        this.#ways.attach(member)
      },
    })
    this.#renewal.start()
  }

  async #close(): Promise<void> {
    this.#renewal?.stop()
    this.#ways.attach(null)
    await this.#member?.stop()
    this.#member = null
  }

  /** False where the time was over. */
  #until(holds: () => boolean): Promise<boolean> {
    const { clock } = this.#host
    const deadlineMs = clock.monotonicMs() + catchUpMsMax
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
