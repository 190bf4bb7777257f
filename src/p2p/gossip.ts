// Gossip on gossipsub: topics `novacron/<name>/1`, signed by their author, accepted from members only.
import { TopicValidatorResult } from '@libp2p/gossipsub'
import type { Log } from '../ports/log.ts'
import type { Gossip } from '../ports/transport.ts'
import { gossipBytesMax } from './gossip-options.ts'
import type { Host } from './host.ts'
import type { Membership } from './membership.ts'

type Listener = (from: string, data: Uint8Array) => void

export class P2pGossip implements Gossip {
  readonly #host: Host
  readonly #membership: Membership
  readonly #log: Log
  readonly #listeners = new Map<string, Listener[]>()

  constructor(host: Host, membership: Membership, log: Log) {
    this.#host = host
    this.#membership = membership
    this.#log = log
    host.pubsub.addEventListener('message', (event) => {
      const message = event.detail
      if (message.type !== 'signed') return
      const from = this.#memberOf(message.from)
      if (from === null) return
      for (const listener of this.#listeners.get(message.topic) ?? []) this.#tell(listener, { from, topic: message.topic, data: message.data })
    })
  }

  /** Gossip decides nothing, so a listener that stumbles over what it hears must not end the process. */
  #tell(listener: Listener, heard: { readonly from: string; readonly topic: string; readonly data: Uint8Array }): void {
    const { from, topic, data } = heard
    try {
      listener(from, data)
    } catch (error) {
      this.#log.error('a listener of gossip failed', { topic, from, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  }

  publish(topic: string, data: Uint8Array): void {
    if (data.length > gossipBytesMax) throw new RangeError(`a gossiped message has at most ${gossipBytesMax} bytes, this one has ${data.length}`)
    // A copy: the caller may use its buffer again, gossipsub keeps the message for later askers.
    this.#host.pubsub.publish(topicName(topic), new Uint8Array(data)).catch((error: unknown) => {
      this.#log.debug('gossip not published', { topic, error: String(error) })
    })
  }

  subscribe(topic: string, listener: Listener): void {
    const name = topicName(topic)
    const listeners = this.#listeners.get(name)
    if (listeners !== undefined) {
      listeners.push(listener)
      return
    }
    this.#listeners.set(name, [listener])
    this.#host.pubsub.topicValidators.set(name, (_peer, message) => {
      if (message.type !== 'signed' || message.data.length > gossipBytesMax) return TopicValidatorResult.Reject
      // Ignored, not rejected: who passed it on may just not know yet that its author was removed.
      return this.#memberOf(message.from) === null ? TopicValidatorResult.Ignore : TopicValidatorResult.Accept
    })
    this.#host.pubsub.subscribe(name)
  }

  #memberOf(peerId: { toString(): string }): string | null {
    return this.#membership.byPeerId(peerId.toString())?.nodeId ?? null
  }
}

function topicName(topic: string): string {
  return `novacron/${topic}/1`
}
