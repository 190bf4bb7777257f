// libp2p's yamux, telling the sender of room only when half of the window is used up, not after every frame.
import { yamux } from '@libp2p/yamux'

type CreateFactory = ReturnType<typeof yamux>
type Muxer = ReturnType<ReturnType<CreateFactory>['createStreamMuxer']>

/** What of a yamux stream matters here. */
type Windowed = { readonly recvWindow: number; readonly recvWindowCapacity: number; readonly state: number; sendWindowUpdate(): void }

/** The states of yamux in which an update also opens or accepts the stream: Init, SYNSent, SYNReceived. */
const openingStates = 2

/**
 * An update after each frame answers every small message by one more: twice the writes and twice the wake-ups of an idle cluster.
 * The specification leaves the time of an update to the receiver.
 */
export function sparingYamux(init: Parameters<typeof yamux>[0]): CreateFactory {
  const create = yamux(init)
  return () => {
    const factory = create()
    const createMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (connection) => sparing(createMuxer(connection))
    return factory
  }
}

function sparing(muxer: Muxer): Muxer {
  const maker: unknown = muxer
  if (!makesStreams(maker)) return muxer
  const make = maker._newStream.bind(maker)
  maker._newStream = (...parameters) => {
    const stream = make(...parameters)
    const update = stream.sendWindowUpdate.bind(stream)
    stream.sendWindowUpdate = () => {
      const isOpening = stream.state <= openingStates
      if (isOpening || stream.recvWindowCapacity * 2 <= stream.recvWindow) update()
    }
    return stream
  }
  return muxer
}

function makesStreams(muxer: unknown): muxer is { _newStream(...parameters: readonly unknown[]): Windowed } {
  return typeof muxer === 'object' && muxer !== null && typeof (muxer as { _newStream?: unknown })._newStream === 'function'
}
