// One connection through the relay: a local unix socket and a TLS connection, each piped into the other until both are at their end.
import type { Socket } from 'node:net'

export type PipedChannel = {
  /** Bytes read from the local side and written to it. */
  use(): { readonly sent: number; readonly received: number }
  destroy(): void
}

/**
 * Ends pass through each way by themselves; back-pressure does too.
 * @param onClosed called once, with the fault of the remote side where there was one
 */
export function pipeChannel(local: Socket, remote: Socket, onClosed: (fault: Error | null) => void): PipedChannel {
  let open = 2
  let fault: Error | null = null
  const closed = (): void => {
    if (--open === 0) onClosed(fault)
  }
  // The local end's fault is told by its close.
  local.on('error', () => {})
  remote.on('error', (error) => {
    fault ??= error
    local.destroy()
  })
  local.on('close', () => {
    // What was read goes out before the end does; what still comes has nobody left to take it, and a reset would overtake what went out.
    if (!remote.destroyed) remote.end()
    remote.resume()
    closed()
  })
  remote.on('close', () => {
    local.destroySoon()
    closed()
  })
  remote.setNoDelay(true)
  local.pipe(remote)
  remote.pipe(local)
  return {
    use: () => ({ sent: local.bytesRead, received: local.bytesWritten }),
    destroy: () => {
      local.destroy()
      remote.destroy()
    },
  }
}
