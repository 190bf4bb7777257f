// The way of a VM from one host to another: unix sockets on either side, mutual TLS between, in a process of its own.
import type { Cancel } from './clock.ts'

/** Unix sockets on the source's host that lead to the target's libvirt, to its QEMU (memory) and to its QEMU's disk server. */
export type MigrationSockets = { readonly control: string; readonly memory: string; readonly disks: string }

/** What passed through the relay on this side, and since when; bytes of all three connections, both directions. */
export type RelayUse = { readonly bytesSent: number; readonly bytesReceived: number }

/** A relay never outlives its daemon: with it the connections are cut, and the source's guest goes on where it is. */
export interface MigrationRelay {
  /** At the target: accepts this source's relay for this operation until it is closed. Again is fine. @returns host:port under which it is reached */
  accept(leg: { readonly operationId: string; readonly vmId: string; readonly fromNodeId: string }): Promise<{ readonly address: string }>
  /**
   * At the source: makes the sockets and connects to the target's relay.
   * @throws OperationalError PEER_UNREACHABLE where the target's relay does not answer or refuses; the signal's reason
   */
  connect(leg: { readonly operationId: string; readonly vmId: string; readonly toNodeId: string; readonly address: string }, signal: AbortSignal): Promise<MigrationSockets>
  /** Cuts all connections of the operation on this side at once and forgets it. Unknown is fine. */
  close(operationId: string): Promise<void>
  /** Null where there is nothing of that operation here. */
  use(operationId: string): RelayUse | null
  /** Called once when an operation's relay was cut by anything but `close`: the link, the peer, or the relay's own end. */
  onCut(listener: (operationId: string, reason: string) => void): Cancel
}
