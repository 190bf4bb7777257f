// Gossipsub among members: a former member, whose connection lives until it has heard why it is refused, neither gossips nor is gossiped to.
import { gossipsub } from '@libp2p/gossipsub'
import { gossipOptions } from './gossip-options.ts'

type Service = ReturnType<typeof gossipsub>
type Registrar = Parameters<Service>[0]['registrar']
type IsStranger = (peerId: { toString(): string }) => boolean

/** @param isStranger asked of each peer that connects, and of each that opens a stream of gossip */
export function gossipAmong(isStranger: IsStranger): Service {
  return ({ privateKey, peerId, peerStore, registrar, connectionManager, logger }) =>
    gossipsub(gossipOptions)({ privateKey, peerId, peerStore, registrar: registrarAmong(registrar, isStranger), connectionManager, logger })
}

function registrarAmong(registrar: Registrar, isStranger: IsStranger): Registrar {
  const among: Pick<Registrar, 'handle' | 'register'> = {
    handle: (protocol, handler, options) => registrar.handle(protocol, (stream, connection) => {
      if (isStranger(connection.remotePeer)) return stream.abort(new Error('not a member'))
      return handler(stream, connection)
    }, options),
    register: (protocol, topology, options) => registrar.register(protocol, {
      ...topology,
      onConnect: (peerId, connection) => (isStranger(peerId) ? undefined : topology.onConnect?.(peerId, connection)),
    }, options),
  }
  return new Proxy(registrar, {
    get(target, name) {
      const member: unknown = Object.hasOwn(among, name) ? Reflect.get(among, name) : Reflect.get(target, name, target)
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}
