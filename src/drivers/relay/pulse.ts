// The heartbeat of one operation between two relays, on a connection of its own: silence or its end means that the link is cut.
import type { TLSSocket } from 'node:tls'

const beatMs = 200
const silenceMsMax = 1_500
/** A look that comes this late was held up here: what arrived meanwhile is read before anything is concluded. */
const lateMs = 300

/** @param onCut called once @returns stops it without a word */
export function startPulse(socket: TLSSocket, onCut: (reason: string) => void): () => void {
  let heardMs = performance.now()
  let lookedMs = heardMs
  let over = false
  const end = (reason: string | null): void => {
    if (over) return
    over = true
    clearInterval(timer)
    socket.destroy()
    if (reason !== null) onCut(reason)
  }
  const look = (): void => {
    const nowMs = performance.now()
    const late = nowMs - lookedMs > beatMs + lateMs
    lookedMs = nowMs
    if (!late && nowMs - heardMs > silenceMsMax) end(`nothing was heard from the other host for ${silenceMsMax} ms`)
    else if (socket.writableLength === 0) socket.write('.')
  }
  const timer = setInterval(look, beatMs)
  socket.setNoDelay(true)
  socket.on('data', () => {
    heardMs = performance.now()
  })
  // Who greeted it may have paused it.
  socket.resume()
  socket.on('error', (error) => end(`the connection to the other host broke: ${error.message}`))
  socket.on('end', () => end('the other host ended the connection'))
  socket.on('close', () => end('the connection to the other host was closed'))
  look()
  return () => end(null)
}
