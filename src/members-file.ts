// Who else is in the cluster, as last known, beside the replicated state: a node whose state is lost still finds the others, though they are not those it once joined.
import { join } from 'node:path'
import { z } from 'zod'
import { readOrNull, writePrivateFile } from './membership-file.ts'
import type { Log } from './ports/log.ts'
import type { Member } from './ports/transport.ts'

export const membersFileName = 'members.json'
const membersSchema = z.strictObject({
  format: z.literal(1),
  clusterId: z.string(),
  members: z.array(z.strictObject({ nodeId: z.string(), name: z.string(), peerId: z.string(), address: z.string() })),
})

export class MembersFile {
  readonly #dataDir: string
  readonly #clusterId: string
  readonly #log: Log
  #wanted: string | null = null
  #written: string | null = null
  #writing: Promise<void> | null = null

  constructor(options: { readonly dataDir: string; readonly clusterId: string }, log: Log) {
    this.#dataDir = options.dataDir
    this.#clusterId = options.clusterId
    this.#log = log
  }

  /** Empty where nothing was kept of this cluster, or it cannot be read: it is a help, no truth. */
  async read(): Promise<readonly Member[]> {
    try {
      const text = await readOrNull(this.#path)
      if (text === null) return []
      const { clusterId, members } = membersSchema.parse(JSON.parse(text))
      return clusterId === this.#clusterId ? members : []
    } catch (error) {
      this.#log.warn('the list of members cannot be read', { error: String(error) })
      return []
    }
  }

  /** Kept soon, the last one for sure; nothing is written where nothing changed. A fault is logged: the state has the same. */
  note(members: readonly Member[]): void {
    this.#wanted = JSON.stringify({ format: 1, clusterId: this.#clusterId, members }, null, 2)
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null
    })
  }

  /** Resolves when what was noted is written. */
  async settled(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    while (this.#wanted !== null && this.#wanted !== this.#written) {
      const text = this.#wanted
      try {
        await writePrivateFile(this.#path, text)
      } catch (error) {
        this.#log.warn('the list of members could not be kept', { error: String(error) })
        return
      }
      this.#written = text
    }
  }

  get #path(): string {
    return join(this.#dataDir, membersFileName)
  }
}
