// Use cases of appliances on the local network that are in no cluster: seen, and admitted by a click.
import { OperationalError } from '../model/error.ts'
import type { DiscoveredNode, Node } from '../model/node.ts'
import { findByRef } from '../state/query.ts'
import { authorize } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, Membership, Page, WriteOptions, Written } from './face.ts'
import { presentNode } from './present.ts'
import { waitUntil } from './write.ts'

/** The invited one uses its token at once or not at all. */
const tokenLifeSeconds = 120
/** Its record may come here a moment after its answer. */
const arrivalSeconds = 5

export class DiscoveryUseCases {
  readonly #context: AppContext
  readonly #membership: Pick<Membership, 'createJoinToken' | 'revokeJoinToken'>

  constructor(context: AppContext, membership: Pick<Membership, 'createJoinToken' | 'revokeJoinToken'>) {
    this.#context = context
    this.#membership = membership
  }

  discovered(caller: Caller): Page<DiscoveredNode> {
    authorize(caller, 'read', '', 'nodes')
    const nowMs = this.#context.ports.clock.nowMs()
    const items = (this.#context.ports.discovery?.appliances() ?? []).map(({ name, address, fingerprint, version, ageMs }) => ({ name, address, fingerprint, version, lastSeenAt: isoTime(nowMs - ageMs) }))
    return { items, next: null, total: items.length }
  }

  async admit(caller: Caller, fingerprint: string, options: WriteOptions): Promise<Written<Node>> {
    authorize(caller, 'administer', '', 'nodes')
    const { ports, state } = this.#context
    const appliance = ports.discovery?.appliances().find((one) => one.fingerprint === fingerprint.toLowerCase())
    if (appliance === undefined || ports.discovery === null || ports.discovery === undefined) {
      throw new OperationalError('NOT_FOUND', 'No appliance with that fingerprint is heard of on the local network of this node.')
    }
    if (findByRef(state, 'node', appliance.name, '') !== undefined) throw new OperationalError('NAME_TAKEN', `There is a node ${appliance.name} already. Give the appliance another name in its node.json. Nothing was changed.`)
    if (options.dryRun) return { dryRun: true, differences: [{ path: 'name', before: null, after: appliance.name }] }
    const made = await this.#membership.createJoinToken(caller, { lifeSeconds: tokenLifeSeconds }, { ...options, idempotencyKey: null })
    if ('dryRun' in made) return made
    const { id, token } = made
    try {
      const { nodeId } = await ports.discovery.invite(appliance, token)
      await waitUntil(this.#context, { seconds: arrivalSeconds, signal: options.signal, holds: () => this.#context.state.tables.node.has(nodeId) })
      const node = this.#context.state.tables.node.get(nodeId)
      if (node === undefined) throw new OperationalError('OUTCOME_UNKNOWN', `${appliance.name} says that it has joined, but is not known here yet. Look at the nodes in a moment.`)
      return presentNode(this.#context, node)
    } catch (error) {
      // A token that was not used is good for nobody else.
      await this.#membership.revokeJoinToken(caller, id, { ...options, idempotencyKey: null }).catch(() => null)
      throw error
    }
  }
}
