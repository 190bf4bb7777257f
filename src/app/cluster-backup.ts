// Backups of the whole replicated state: taken at one index, written frame by frame as the reader takes them, under a passphrase or without the key.
import { backupCreateSchema, backupFormat, backupFormatShared, beginBackup, encodeFrame, recordsFrameCharacters, sealPurpose, type BackupHeader, type BackupView, type Frame } from '../model/backup.ts'
import { makeCommand } from '../model/command.ts'
import { OperationalError } from '../model/error.ts'
import { featureLevel } from '../model/feature-level.ts'
import { exportState } from '../state/state.ts'
import { authorize } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { BackupFile, Caller, ClusterBackups, WriteOptions, Written } from './face.ts'
import type { ClusterKeys } from './keys.ts'
import { parseInput } from './parse.ts'
import { dryRun, propose } from './write.ts'

/** Each holds the records of its index in memory until it is read. */
const runningMax = 2
const retryAfterSeconds = 5

export class ClusterBackup implements ClusterBackups {
  readonly #context: AppContext
  readonly #keys: ClusterKeys
  #running = 0

  constructor(context: AppContext, keys: ClusterKeys) {
    this.#context = context
    this.#keys = keys
  }

  lastBackup(caller: Caller): BackupView {
    authorize(caller, 'administer', '', 'backups')
    const last = this.#cluster().lastBackup
    if (last === undefined) return { last: null }
    const { atMs, ...facts } = last
    return { last: { at: isoTime(atMs), ...facts } }
  }

  async backup(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<BackupFile>> {
    authorize(caller, 'administer', '', 'backups')
    const { passphrase, local } = parseInput(backupCreateSchema, body ?? {})
    const sealed = passphrase !== null
    if (options.dryRun && local) return { dryRun: true, differences: [], notes: [this.#localNote()] }
    if (options.dryRun) return { ...dryRun(this.#context, caller, 'cluster.backup', { sealed }, 'cluster'), differences: [{ path: 'last', before: this.lastBackup(caller).last, after: { sealed } }] }
    if (this.#running >= runningMax) throw new OperationalError('OVERLOADED', 'This node is writing two backups already; try again shortly, or ask another node.', { data: { retryAfterSeconds } })
    const release = this.#begin()
    try {
      const { vault } = this.#context.ports
      const parameters = sealed ? vault.passphraseParameters() : null
      const key = passphrase === null || parameters === null ? null : await vault.passphraseKey(passphrase, parameters)
      if (local) this.#requireOwnState()
      else await this.#agree(caller, sealed)
      const { name, index, bytes } = this.#take(caller, { parameters, key, local })
      return { name, index, bytes: releasing(bytes, release) }
    } catch (error) {
      release()
      throw error
    }
  }

  #begin(): () => void {
    this.#running++
    let over = false
    return () => {
      if (!over) this.#running--
      over = true
    }
  }

  /**
   * Without the request's key: what was asked holds the passphrase, of which not even a digest shall be kept. Applied here when it resolves, so everything
   * acknowledged before is in this node's state.
   */
  async #agree(caller: Caller, sealed: boolean): Promise<void> {
    try {
      await propose(this.#context, caller.actor, 'cluster.backup', { sealed }, null)
    } catch (error) {
      if (!(error instanceof OperationalError) || error.code !== 'NO_QUORUM') throw error
      throw new OperationalError('NO_QUORUM', `${error.message} What this node has can be saved all the same, with "local" (novacron cluster backup --local); others may have more.`, { cause: error, data: error.data })
    }
  }

  /** What differs from the cluster's state is nothing to restore. */
  #requireOwnState(): void {
    if (this.#context.ports.consensus.status().divergence !== null) throw new OperationalError('STATE_DIVERGED', "This node's state is not known to be the cluster's: take a backup of another node. Nothing was written.")
  }

  #localNote(): string {
    const { index, term } = this.#context.state
    return `It holds what ${this.#nodeName()} has applied, up to index ${index} of term ${term}: other members may have acknowledged more.`
  }

  /** Records are replaced, never changed: those of this moment stay what they are while they are written. */
  #take(caller: Caller, { parameters, key, local }: { readonly parameters: BackupHeader['passphrase']; readonly key: Uint8Array | null; readonly local: boolean }): BackupFile {
    const { head, records } = exportState(this.#context.state)
    const cluster = this.#cluster()
    const { commit, quorum } = this.#context.ports.consensus.status()
    const header: BackupHeader = {
      format: local ? backupFormat : backupFormatShared, version: this.#context.version, featureLevel, clusterId: cluster.id, clusterName: cluster.name, node: this.#nodeName(),
      createdAt: isoTime(this.#context.ports.clock.nowMs()), ...head, passphrase: parameters, ...(local ? { local: { commit, quorum } } : {}),
    }
    const secrets = key === null ? null : { clusterKey: Buffer.from(this.#keys.clusterKey()).toString('base64url') }
    const frames = framesOf(records, secrets)
    const name = `${cluster.name}-${header.createdAt.replaceAll(/[-:]|\.\d+/g, '')}${local ? '-local' : ''}.novabackup`
    if (local) this.#record(caller, head.index)
    return { name, index: head.index, bytes: this.#write({ header, frames, key, by: caller.actor.name }) }
  }

  async *#write({ header, frames, key, by }: { readonly header: BackupHeader; readonly frames: Iterable<Frame>; readonly key: Uint8Array | null; readonly by: string }): AsyncIterable<Uint8Array> {
    const { vault } = this.#context.ports
    const sha256Hex = (bytes: Uint8Array) => vault.sha256Hex(bytes)
    const begun = beginBackup(sha256Hex)
    let { check } = begun
    let bytes = begun.bytes.length
    yield begun.bytes
    let sequence = 0
    let headerHash = ''
    for (const frame of allFrames(header, frames)) {
      if (frame.kind === 'header') headerHash = sha256Hex(frame.payload)
      const sealed = key === null || frame.kind === 'header' ? frame : { kind: frame.kind, payload: new TextEncoder().encode(vault.seal(key, frame.payload, sealPurpose(headerHash, sequence))) }
      const encoded = encodeFrame(sealed, check, sha256Hex)
      check = encoded.check
      bytes += encoded.bytes.length
      sequence++
      yield encoded.bytes
    }
    if (header.local !== undefined) return
    // Asked for more, the answer has taken the last frame; it ends only once the cluster knows: whoever has it whole finds it named.
    await this.#note({ by, node: header.node, index: header.index, bytes, checksum: check, sealed: key !== null })
  }

  /** In the audit as nodes tell it each other: that needs no quorum. */
  #record({ actor }: Caller, index: number): void {
    const { log, clock } = this.#context.ports
    log.info('local backup taken', { by: actor.name, index })
    this.#context.sightings.note({ id: this.#context.newId(), index, timeMs: clock.nowMs(), actor, command: 'cluster.localBackup', target: this.#nodeName(), code: '', detail: '' })
  }

  /** The file is good all the same where the cluster cannot be told any more. */
  async #note(facts: { readonly by: string; readonly node: string; readonly index: number; readonly bytes: number; readonly checksum: string; readonly sealed: boolean }): Promise<void> {
    const { consensus, log } = this.#context.ports
    const { nodeId } = this.#context
    const command = makeCommand('cluster.backedUp', { id: this.#context.newId(), actor: { kind: 'node', id: nodeId, name: facts.node, address: '' } }, facts)
    try {
      await consensus.propose(command, {})
    } catch (error) {
      log.warn('a backup was written, but the cluster could not be told', { error: String(error) })
    }
  }

  #nodeName(): string {
    const name = this.#context.nodeName(this.#context.nodeId)
    if (name === null) throw new OperationalError('NOT_CLUSTERED', 'This node is not in the state of its cluster.')
    return name
  }

  #cluster() {
    const cluster = this.#context.state.tables.cluster.get('cluster')
    if (cluster === undefined) throw new OperationalError('NOT_CLUSTERED', 'This node has not caught up with its cluster yet.')
    return cluster
  }
}

/** The same pieces; `release` is called once, also where nobody began to read. */
function releasing(pieces: AsyncIterable<Uint8Array>, release: () => void): AsyncIterable<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]()
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        try {
          const result = await iterator.next()
          if (result.done === true) release()
          return result
        } catch (error) {
          release()
          throw error
        }
      },
      async return() {
        release()
        await iterator.return?.()
        return { value: undefined, done: true as const }
      },
    }),
  }
}

function* allFrames(header: BackupHeader, frames: Iterable<Frame>): Iterable<Frame> {
  yield { kind: 'header', payload: encodeJson(header) }
  yield* frames
}

type Records = ReturnType<typeof exportState>['records']

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

/** Encoded as they are asked for: the event loop is held up by one frame at a time. */
function* framesOf(records: Records, secrets: { readonly clusterKey: string } | null): Iterable<Frame> {
  const frameOf = (texts: readonly string[]): Frame => ({ kind: 'records', payload: new TextEncoder().encode(`[${texts.join(',')}]`) })
  let texts: string[] = []
  let characters = 0
  for (const { table, id, value } of records) {
    const text = JSON.stringify([table, id, value])
    texts.push(text)
    characters += text.length
    if (characters < recordsFrameCharacters) continue
    yield frameOf(texts)
    texts = []
    characters = 0
  }
  if (texts.length > 0) yield frameOf(texts)
  if (secrets !== null) yield { kind: 'secrets', payload: encodeJson(secrets) }
  yield { kind: 'end', payload: encodeJson({ records: records.length }) }
}
