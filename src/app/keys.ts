// The cluster's secrets as this node can open them: its wrapped cluster key opens the CA's key and the sessions' key.
import { OperationalError } from '../model/error.ts'
import type { AppContext } from './context.ts'

export const caKeyPurpose = 'novacron/ca-key'
export const sessionKeyPurpose = 'novacron/session-key'

export class ClusterKeys {
  readonly #context: AppContext
  #cache: { readonly wrapped: string; readonly key: Uint8Array } | null = null
  #session: { readonly sealed: string; readonly key: Uint8Array } | null = null

  constructor(context: AppContext) {
    this.#context = context
  }

  /** @throws NOT_CLUSTERED while this node's own record has not arrived */
  clusterKey(): Uint8Array {
    const wrapped = this.#context.state.tables.node.get(this.#context.nodeId)?.wrappedClusterKey
    if (wrapped === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node has not caught up with its cluster yet.')
    if (this.#cache?.wrapped !== wrapped) this.#cache = { wrapped, key: this.#context.ports.vault.unwrapKey(wrapped) }
    return this.#cache.key
  }

  sessionKey(): Uint8Array {
    const sealed = this.#cluster().sessionKeySealed
    if (this.#session?.sealed !== sealed) this.#session = { sealed, key: this.#context.ports.vault.open(this.clusterKey(), sealed, sessionKeyPurpose) }
    return this.#session.key
  }

  authority(): { readonly certificatePem: string; readonly keyPem: string } {
    const cluster = this.#cluster()
    const key = this.#context.ports.vault.open(this.clusterKey(), cluster.caKeySealed, caKeyPurpose)
    return { certificatePem: cluster.caCertificate, keyPem: new TextDecoder().decode(key) }
  }

  #cluster() {
    const cluster = this.#context.state.tables.cluster.get('cluster')
    if (cluster === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node has not caught up with its cluster yet.')
    return cluster
  }
}
