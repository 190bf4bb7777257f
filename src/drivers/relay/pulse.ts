// The heartbeat of one operation between two relays, on a connection of its own: silence or its end means that the link is cut.
import type { TLSSocket } from 'node:tls'

const beatMs = 200
const silenceMsMax = 1_500
/** A look that comes this late was held up here: what arrived meanwhile is read before anything is concluded. */
const lateMs = 300

const beat = '.'
const farewell = 'x'
/** Time for the farewell to be on its way. */
const farewellMs = 500

/**
 * @param onEnd called once, unless it was stopped here: with the reason, or null where the other side took its leave in order
 * @returns takes leave
 */
export function startPulse(socket: TLSSocket, onEnd: (reason: string | null) => void): () => void {
  let heardMs = performance.now()
  let lookedMs = heardMs
  let over = false
  const end = (reason: string | null): void => {
    if (over) return
    over = true
    clearInterval(timer)
    socket.destroy()
    onEnd(reason)
  }
  const look = (): void => {
    const nowMs = performance.now()
    const late = nowMs - lookedMs > beatMs + lateMs
    lookedMs = nowMs
    if (!late && nowMs - heardMs > silenceMsMax) end(`nothing was heard from the other host for ${silenceMsMax} ms`)
    else if (socket.writableLength === 0) socket.write(beat)
  }
  const timer = setInterval(look, beatMs)
  socket.setNoDelay(true)
  socket.on('data', (chunk: Buffer) => {
    heardMs = performance.now()
    if (chunk.includes(farewell)) end(null)
  })
  // Who greeted it may have paused it.
  socket.resume()
  socket.on('error', (error) => end(`the connection to the other host broke: ${error.message}`))
  socket.on('end', () => end('the other host ended the connection'))
  socket.on('close', () => end('the connection to the other host was closed'))
  look()
  return () => {
    if (over) return
    over = true
    clearInterval(timer)
    socket.end(farewell)
    setTimeout(() => socket.destroy(), farewellMs).unref()
  }
}
