// A TCP relay between two real nodes that can go silent as a cut cable does: nothing passes, nothing is closed.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

export type Relay = {
  readonly address: string
  /** Bytes pass, or stand still in both directions. */
  setOpen(open: boolean): void
  stop(): Promise<void>
}

/** Passes connections on to a port of this machine, which `target` names when each connection is made. */
export async function startRelay(target: () => number): Promise<Relay> {
  let open = true
  const sockets = new Set<Socket>()
  const waiting: (() => void)[] = []
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (near) => {
    track(near)
    const join = () => {
      if (near.destroyed) return
      const far = connect({ host: '127.0.0.1', port: target(), noDelay: true })
      track(far)
      pass(near, far)
      pass(far, near)
    }
    if (open) join()
    else waiting.push(join)
  })
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  }
  const pass = (from: Socket, to: Socket) => {
    from.on('data', (bytes) => {
      if (!to.write(bytes)) from.pause()
    })
    to.on('drain', () => {
      if (open) from.resume()
    })
    from.on('close', () => {
      if (open) to.destroy()
    })
    if (open) from.resume()
    else from.pause()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    setOpen(next) {
      open = next
      for (const socket of sockets) {
        if (open) socket.resume()
        else socket.pause()
      }
      if (open) for (const join of waiting.splice(0)) join()
    },
    async stop() {
      open = true
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
