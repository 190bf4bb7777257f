// libp2p's TLS, with what is sent in one turn of the event loop in one record and one write to the socket, instead of one for each piece.
import { tls } from '@libp2p/tls'

type CreateEncrypter = ReturnType<typeof tls>
type Secured = Awaited<ReturnType<ReturnType<CreateEncrypter>['secureInbound']>>

/** What lies under an encrypted connection, as far as it matters here. */
type Corkable = { readonly socket: { cork(): void; uncork(): void; readonly destroyed: boolean }; sendData(data: unknown): unknown }

/** A muxer's frame is a header and a body, often with a window update on its heels: each would be encrypted, sent and received by itself. */
export function wholeRecordTls(): CreateEncrypter {
  const create = tls()
  return (components) => {
    const encrypter = create(components)
    const inbound = encrypter.secureInbound.bind(encrypter)
    const outbound = encrypter.secureOutbound.bind(encrypter)
    encrypter.secureInbound = async (connection, options) => gathering(await inbound(connection, options))
    encrypter.secureOutbound = async (connection, options) => gathering(await outbound(connection, options))
    return encrypter
  }
}

function gathering(secured: Secured): Secured {
  const { connection } = secured
  if (!isCorkable(connection)) return secured
  const send = connection.sendData.bind(connection)
  let corked = false
  connection.sendData = (data) => {
    if (!corked) {
      corked = true
      connection.socket.cork()
      setImmediate(() => {
        corked = false
        if (!connection.socket.destroyed) connection.socket.uncork()
      })
    }
    return send(data)
  }
  return secured
}

function isCorkable(connection: Secured['connection']): connection is Secured['connection'] & Corkable {
  const { socket, sendData } = connection as Partial<Corkable>
  return typeof sendData === 'function' && typeof socket?.cork === 'function'
}
