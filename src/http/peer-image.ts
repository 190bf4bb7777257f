// Images for other members: the credential is a ticket that they got over their authenticated stream; no person's credential is of use here.
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Hono } from 'hono'
import type { App } from '../app/face.ts'
import { refuseMethod } from './api/mount.ts'
import { unauthenticated } from './authentication.ts'
import type { HttpEnv } from './context.ts'
import { securityHeaders } from './security.ts'

export const peerImagePath = '/peer/image'
type Outgoing = HttpEnv['Bindings']['outgoing']

export function mountPeerImage(router: Hono<HttpEnv>, app: App): void {
  router.get(peerImagePath, (context) => {
    context.set('route', peerImagePath)
    // Hono answers HEAD as it does GET: a ticket would be used up for nothing.
    if (context.req.method !== 'GET') refuseMethod(context.req.method, ['GET'])
    const ticket = /^Bearer ([0-9a-f]{64})$/.exec(context.req.header('Authorization') ?? '')?.[1]
    const image = ticket === undefined ? null : app.imageForPeer(ticket, context.req.raw.signal)
    if (image === null) throw unauthenticated('Images are given to members, by ticket.')
    const { outgoing } = context.env
    outgoing.writeHead(200, { ...securityHeaders, 'Content-Type': 'application/octet-stream', 'Content-Length': String(image.sizeBytes), 'Cache-Control': 'no-store' })
    void send(image.pieces, outgoing)
    return RESPONSE_ALREADY_SENT.clone()
  })
  router.all(peerImagePath, (context) => refuseMethod(context.req.method, ['GET']))
}

/** Written by hand, not as a Response: a piece's buffer is used again, so its bytes have to be with the system before the next one is asked for. */
async function send(pieces: AsyncIterable<Uint8Array>, outgoing: Outgoing): Promise<void> {
  try {
    for await (const piece of pieces) await written(piece, outgoing)
    outgoing.end()
  } catch {
    // Gone, or the file cannot be read: the other side sees that it is not whole, and asks elsewhere.
    outgoing.destroy()
  }
}

function written(piece: Uint8Array, outgoing: Outgoing): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error('the client went away'))
    if (outgoing.destroyed) return gone()
    outgoing.once('close', gone)
    outgoing.write(piece, (error) => {
      outgoing.off('close', gone)
      if (error instanceof Error) reject(error)
      else resolve()
    })
  })
}
