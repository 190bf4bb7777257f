// Gossip, counted: how many messages this node published and took in.
import type { Gossip } from '../ports/transport.ts'

export type CountedGossip = Gossip & { readonly counts: { readonly sent: number; readonly received: number } }

export function countGossip(gossip: Gossip): CountedGossip {
  const counts = { sent: 0, received: 0 }
  return {
    counts,
    publish(topic, data) {
      counts.sent++
      gossip.publish(topic, data)
    },
    subscribe(topic, listener) {
      gossip.subscribe(topic, (from, data) => {
        counts.received++
        listener(from, data)
      })
    },
  }
}
