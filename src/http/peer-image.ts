// Images for other members: the credential is a ticket that they got over their authenticated stream; no person's credential is of use here.
import type { Hono } from 'hono'
import type { App } from '../app/face.ts'
import { refuseMethod } from './api/mount.ts'
import { unauthenticated } from './authentication.ts'
import type { HttpEnv } from './context.ts'

export const peerImagePath = '/peer/image'

export function mountPeerImage(router: Hono<HttpEnv>, app: App): void {
  router.get(peerImagePath, (context) => {
    context.set('route', peerImagePath)
    const ticket = /^Bearer ([0-9a-f]{64})$/.exec(context.req.header('Authorization') ?? '')?.[1]
    const source = ticket === undefined ? null : app.imageForPeer(ticket, context.req.raw.signal)
    if (source === null) throw unauthenticated('Images are given to members, by ticket.')
    return new Response(ReadableStream.from(source), { headers: { 'Content-Type': 'application/octet-stream', 'Cache-Control': 'no-store' } })
  })
  router.all(peerImagePath, (context) => refuseMethod(context.req.method, ['GET']))
}
