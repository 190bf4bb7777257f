// etcd's own Put by gRPC, which is its fastest way in: protobuf messages on streams of one HTTP/2 connection.
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'

export type EtcdWriter = { put(key: string, value: string): Promise<void>; close(): void }

/** @param url client URL of a member, without TLS */
export function openEtcdWriter(url: string): EtcdWriter {
  const session = connect(url)
  // Whoever waits for an answer hears of it.
  session.on('error', () => {})
  return {
    put: (key, value) => put(session, Buffer.concat([field(1, Buffer.from(key)), field(2, Buffer.from(value))])),
    close: () => session.destroy(),
  }
}

function put(session: ClientHttp2Session, message: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST', [constants.HTTP2_HEADER_PATH]: '/etcdserverpb.KV/Put', 'content-type': 'application/grpc', te: 'trailers',
    })
    let status = ''
    const note = (headers: IncomingHttpHeaders): void => {
      const [code, message] = [headers['grpc-status'], headers['grpc-message']]
      if (typeof code === 'string') status = typeof message === 'string' && message !== '' ? `${code} ${message}` : code
    }
    stream.on('response', note).on('trailers', note).on('error', reject)
    stream.on('end', () => (status === '0' ? resolve() : reject(new Error(`etcd refused: ${status}`))))
    stream.resume()
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    stream.end(Buffer.concat([head, message]))
  })
}

/** A length-delimited field of protobuf. */
function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest & 127) | 128)
    rest >>>= 7
  }
  return Buffer.from([...bytes, rest])
}
