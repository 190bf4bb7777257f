// Screens of this node's VMs: each viewer has a connection of its own to the hypervisor; here they are counted, and bounded.
import { OperationalError } from '../model/error.ts'
import type { ByteStream } from '../ports/transport.ts'

const viewersPerVmMax = 8

type OpenSource = (vmId: string, signal: AbortSignal) => Promise<ByteStream>

export class ScreenHub {
  readonly #open: OpenSource
  readonly #viewers = new Map<string, number>()

  constructor(open: OpenSource) {
    this.#open = open
  }

  /** @throws CONSOLE_BUSY where too many look; what opening the screen throws */
  async join(vmId: string, signal: AbortSignal): Promise<ByteStream> {
    const viewers = this.#viewers.get(vmId) ?? 0
    if (viewers >= viewersPerVmMax) throw new OperationalError('CONSOLE_BUSY', `${viewersPerVmMax} viewers look at this screen already.`)
    this.#viewers.set(vmId, viewers + 1)
    const leave = this.#leaveOnce(vmId)
    try {
      return watched(await this.#open(vmId, signal), leave)
    } catch (error) {
      leave()
      throw error
    }
  }

  #leaveOnce(vmId: string): () => void {
    let left = false
    return () => {
      if (left) return
      left = true
      const viewers = (this.#viewers.get(vmId) ?? 1) - 1
      if (viewers === 0) this.#viewers.delete(vmId)
      else this.#viewers.set(vmId, viewers)
    }
  }
}

/** `leave` is called when the stream was read to its end or given up. */
function watched(stream: ByteStream, leave: () => void): ByteStream {
  return {
    readable: {
      async *[Symbol.asyncIterator]() {
        try {
          yield* stream.readable
        } finally {
          leave()
        }
      },
    },
    write: (chunk) => stream.write(chunk),
    end: () => stream.end(),
    abort(reason) {
      leave()
      stream.abort(reason)
    },
  }
}
