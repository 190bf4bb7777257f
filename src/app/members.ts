// Use cases of consensus: how its members are, who leads, who may vote, and shortening a log.
import type { CommandPayload, CommandType } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import type { NodeId } from '../model/id.ts'
import { leaderChangeSchema, type ClusterMembers, type Compacted, type Leadership, type MemberReport } from '../model/member.ts'
import { nodeVoteSchema, type Node, type NodeVoting, type StoredNode } from '../model/node.ts'
import { doubtVoting } from '../planner/membership.ts'
import { doubtLeader, successorOf } from '../planner/leader.ts'
import { findByRef } from '../state/query.ts'
import { authorize } from './authorize.ts'
import { afterRecord } from './confirmation.ts'
import type { AppContext } from './context.ts'
import type { Caller, DryRun, Members, WriteOptions, Written } from './face.ts'
import { presentMembers } from './present-members.ts'
import { parseInput } from './parse.ts'
import { presentNode } from './present.ts'
import { dryRun, effect, findEarlier, propose, waitUntil } from './write.ts'

/** Pages of several people may ask at once: within this time they share one answer. */
const sharedMs = 1000

export class MemberUseCases implements Members {
  readonly #context: AppContext
  #shared: { readonly atMs: number; readonly reports: Promise<ReadonlyMap<string, MemberReport>> } | null = null

  constructor(context: AppContext) {
    this.#context = context
  }

  async view(caller: Caller): Promise<ClusterMembers> {
    authorize(caller, 'read', '', 'the cluster')
    const nowMs = this.#context.ports.clock.monotonicMs()
    if (this.#shared === null || nowMs - this.#shared.atMs > sharedMs) this.#shared = { atMs: nowMs, reports: this.#reports() }
    return presentMembers(this.#context, await this.#shared.reports)
  }

  async lead(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Leadership>> {
    authorize(caller, 'administer', '', 'the leader')
    const { node: ref } = parseInput(leaderChangeSchema, body ?? {})
    const named = ref === undefined ? null : this.#find(ref)
    // Asked again, it was put on record; whether it came to be is another matter.
    const earlier = findEarlier(this.#context, caller, options)
    const view = presentMembers(this.#context, await this.#reports())
    const target = earlier?.id ?? named?.id ?? successorOf(view)?.id
    if (target === undefined) throw new OperationalError('STATE_CONFLICT', 'There is no other voter in touch that could lead. Nothing was changed.')
    const doubt = doubtLeader(view, target)
    if (doubt !== null) throw new OperationalError('STATE_CONFLICT', `${doubt} Nothing was changed.`)
    const payload = { id: target as NodeId, ...guardOf(options) }
    const preview = dryRun(this.#context, caller, 'node.lead', payload, 'node')
    if (options.dryRun) return effect(preview, ...(view.leader === this.#name(target) ? [] : [{ path: 'leader', before: view.leader, after: this.#name(target) }]))
    if (view.leader !== this.#name(target)) {
      if (earlier === null) await propose(this.#context, caller.actor, 'node.lead', payload, options)
      await afterRecord(this.#context.ports.consensus.lead(target))
      this.#shared = null
    }
    return this.#leadership()
  }

  async vote(caller: Caller, ref: string, wish: { readonly voting: NodeVoting; readonly body: unknown }, options: WriteOptions): Promise<Written<Node>> {
    authorize(caller, 'administer', '', 'nodes')
    const node = this.#find(ref)
    const { force } = parseInput(nodeVoteSchema, wish.body ?? {})
    const payload = { id: node.id as NodeId, voting: wish.voting, ...guardOf(options) }
    const doubt = this.#doubt(node, wish.voting)
    if (options.dryRun) {
      const preview = dryRun(this.#context, caller, 'node.vote', payload, 'node')
      return doubt === null ? preview : { ...preview, notes: [`${doubt} It is refused without force.`] }
    }
    if (findEarlier(this.#context, caller, options) === null) {
      if (doubt !== null && !force) throw new OperationalError('STATE_CONFLICT', `${doubt} Nothing was changed; say force if that is meant.`)
      await propose(this.#context, caller.actor, 'node.vote', payload, options)
    }
    await waitUntil(this.#context, { seconds: options.waitSeconds, signal: options.signal, holds: () => this.#isDone(node.id, wish.voting) })
    this.#shared = null
    return presentNode(this.#context, this.#find(node.id))
  }

  async compact(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Compacted>> {
    authorize(caller, 'administer', '', 'nodes')
    const node = this.#find(ref)
    const payload = { id: node.id as NodeId, ...guardOf(options) }
    if (options.dryRun) return await this.#previewCompact(caller, node, payload)
    if (findEarlier(this.#context, caller, options) === null) await propose(this.#context, caller.actor, 'node.compact', payload, options)
    const compacted = await afterRecord(this.#context.ports.consensus.compact(node.id))
    this.#shared = null
    return compacted
  }

  async #previewCompact(caller: Caller, node: StoredNode, payload: CommandPayload<'node.compact'>): Promise<DryRun> {
    const preview = dryRun(this.#context, caller, 'node.compact' satisfies CommandType, payload, 'node')
    const report = (await this.#reports()).get(node.id)
    if (report === undefined) return { ...preview, notes: [`${node.name} does not answer.`] }
    return effect(preview, { path: 'log.firstIndex', before: report.firstIndex, after: report.applied + 1 })
  }

  #doubt(node: StoredNode, voting: NodeVoting): string | null {
    const { tables } = this.#context.state
    const status = this.#context.ports.consensus.status()
    const members = [...tables.node.values()].filter((each) => each.leaving === undefined).map(({ id, name, spec }) => ({ id, name, voting: spec.voting ?? 'auto' }))
    return doubtVoting({ members, leaderId: status.leaderId }, { id: node.id, voting })
  }

  /** Whether who votes is as wished; a wish for auto is done when it is made. */
  #isDone(nodeId: string, voting: NodeVoting): boolean {
    const { configuration } = this.#context.ports.consensus.status()
    if (configuration.votersOutgoing.length > 0) return false
    return voting === 'auto' || configuration.voters.includes(nodeId) === (voting === 'always')
  }

  #leadership(): Leadership {
    const { leaderId, term } = this.#context.ports.consensus.status()
    return { leader: this.#name(leaderId) ?? '', term }
  }

  #reports(): Promise<ReadonlyMap<string, MemberReport>> {
    return this.#context.ports.consensus.reports([...this.#context.state.tables.node.keys()])
  }

  #name(nodeId: string | null): string | null {
    return this.#context.nodeName(nodeId)
  }

  #find(ref: string): StoredNode {
    const node = findByRef(this.#context.state, 'node', ref, '')
    if (node === undefined) throw new OperationalError('NOT_FOUND', `There is no node ${ref.slice(0, 80)}.`)
    return node
  }
}

function guardOf(options: WriteOptions): { readonly ifMatch?: number } {
  return options.ifMatch === null ? {} : { ifMatch: options.ifMatch }
}
