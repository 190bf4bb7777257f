// etcd's JSON gateway, as a client of it uses it: keys and values in base64.
import { require2xx, type Client } from './https-client.ts'

export type Gateway = {
  put(key: string, value: string): Promise<void>
  /** Linearizable, or with `serializable` from what the member has. */
  range(key: string, serializable?: boolean): Promise<void>
}

export function gatewayOf(client: Client): Gateway {
  return {
    put: async (key, value) => void (await require2xx(client.ask('/v3/kv/put', { method: 'POST', json: { key: base64(key), value: base64(value) } }), 'etcd put')),
    range: async (key, serializable = false) => void (await require2xx(client.ask('/v3/kv/range', { method: 'POST', json: { key: base64(key), ...(serializable ? { serializable } : {}) } }), 'etcd range')),
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
