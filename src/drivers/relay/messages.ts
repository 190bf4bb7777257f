// What the daemon and its relay process say to one another: a line of JSON each, over the child's standard input and output.
import type { RelayUse } from '../../ports/migration.ts'

export type RelayTls = { readonly certPem: string; readonly keyPem: string; readonly caPem: string }
/** Whom the other side's certificate has to be of. */
export type RelayPeer = { readonly nodeId: string; readonly name: string }
export type SocketPaths = { readonly control: string; readonly memory: string; readonly disks: string }
/** Numeric user and group of the QEMU processes. */
export type Owner = { readonly uid: number; readonly gid: number }

type Leg = { readonly operationId: string; readonly peer: RelayPeer; readonly directory: string; readonly owner: Owner | null }
export type AcceptOrder = Leg & {
  readonly kind: 'accept'
  readonly request: number
  readonly listen: { readonly host: string; readonly port: number }
  /** This host's libvirt; the first that answers. */
  readonly libvirtSockets: readonly string[]
}
export type ConnectOrder = Leg & { readonly kind: 'connect'; readonly request: number; readonly host: string; readonly port: number }

/** Daemon → relay. */
export type Order =
  /** The first one, and again when the certificate was renewed. */
  | { readonly kind: 'identity'; readonly tls: RelayTls }
  | AcceptOrder
  | ConnectOrder
  | { readonly kind: 'close'; readonly request: number; readonly operationId: string }

/** Relay → daemon. */
export type Report =
  /** `port`: where the relay listens, of an `accept`. */
  | { readonly kind: 'done'; readonly request: number; readonly port?: number }
  | { readonly kind: 'failed'; readonly request: number; readonly reason: string }
  | { readonly kind: 'use'; readonly operationId: string; readonly use: RelayUse }
  | { readonly kind: 'cut'; readonly operationId: string; readonly reason: string }

export const channels = ['control', 'memory', 'disks'] as const
export type Channel = (typeof channels)[number]

/** The sockets of one operation in its directory. */
export function socketPaths(directory: string): SocketPaths {
  return { control: `${directory}/control.sock`, memory: `${directory}/memory.sock`, disks: `${directory}/disks.sock` }
}

/** Cuts a byte stream into lines of JSON, each parsed. @throws where a line is too long or no JSON */
export async function* readJsonLines(input: AsyncIterable<Buffer | string>, lineCharactersMax: number): AsyncGenerator<unknown> {
  let rest = ''
  for await (const chunk of input) {
    rest += chunk.toString()
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > lineCharactersMax) throw new Error('a line is too long')
    for (const line of lines) if (line !== '') yield JSON.parse(line) as unknown
  }
}
