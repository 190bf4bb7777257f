// Keeps this node's share of the images: fetches copies that are wished here, gives up those too many, says what it holds, deletes what nobody needs.
import { makeCommand, type CommandPayload, type CommandResult, type CommandType } from '../model/command.ts'
import type { ImageId, NodeId } from '../model/id.ts'
import { uuidV7 } from '../model/id.ts'
import type { StoredImage } from '../model/image.ts'
import { planCopies, type ImageHost } from '../planner/image.ts'
import type { Cancel, Clock, Random } from '../ports/clock.ts'
import type { Consensus } from '../ports/consensus.ts'
import type { ImageSupply } from '../ports/image-supply.ts'
import type { Log } from '../ports/log.ts'
import type { StorageDriver } from '../ports/storage.ts'
import { copiesWanted, keepersOf, isDistributed, isImageNeededOn } from '../state/image-use.ts'
import type { State, StateHolder } from '../state/state.ts'
import { partialOf } from './image-fetcher.ts'

const periodMs = 30_000
/** While some image has fewer copies than wished: whoever is to fetch it may only now have been heard of. */
const hurryMs = 2_000
/** Changes that come together are looked at together. */
const gatherMs = 25
const proposeTimeoutMs = 5_000
/** An unfinished fetch that nobody went on with for so long is removed. */
const partialAgeMsMax = 24 * 3_600_000

export type ImageControllerPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly consensus: Consensus & StateHolder
  readonly storage: StorageDriver
  readonly supply: ImageSupply
  /** Every member, with what is known of its room. */
  readonly hosts: () => readonly ImageHost[]
}

export class ImageController {
  readonly #nodeId: NodeId
  readonly #ports: ImageControllerPorts
  /** Files without a use at the last look: an import is registered well within one period. */
  #suspects = new Set<string>()
  /** Copies said to be here that were not found at the last look. */
  #missing = new Set<string>()
  /** Files that the storage does not let go: their copy counts again. */
  readonly #kept = new Set<string>()
  readonly #fetching = new Map<string, AbortController>()
  readonly #cancels: Cancel[] = []
  #soon: Cancel | null = null
  #busy = false
  #again = false

  constructor(options: { readonly nodeId: NodeId }, ports: ImageControllerPorts) {
    this.#nodeId = options.nodeId
    this.#ports = ports
  }

  start(): void {
    const { clock, consensus } = this.#ports
    this.#cancels.push(
      clock.every(periodMs, () => void this.#look({ sweep: true })),
      consensus.watch((notice) => {
        const concerns = notice.kind === 'replaced' || (notice.kind === 'applied' && notice.events.some((event) => event.kind === 'image' || event.kind === 'node'))
        if (concerns) this.#later(gatherMs)
      }),
    )
    this.#later(hurryMs)
  }

  stop(): void {
    for (const cancel of this.#cancels.splice(0)) cancel()
    this.#soon?.()
    for (const abort of this.#fetching.values()) abort.abort()
  }

  #later(delayMs: number): void {
    if (this.#busy) {
      this.#again = true
      return
    }
    this.#soon?.()
    this.#soon = this.#ports.clock.after(delayMs, () => void this.#look({ sweep: false }))
  }

  async #look({ sweep }: { readonly sweep: boolean }): Promise<void> {
    const { consensus, log } = this.#ports
    // An old state may not know a new image yet: without quorum nothing is deleted, and there is nobody to fetch from for sure.
    if (this.#busy || !consensus.status().quorum) return
    this.#busy = true
    this.#again = false
    try {
      await consensus.readBarrier()
      const short = await this.#keepCopies()
      if (sweep) await this.#sweep()
      if (short) this.#soon = this.#ports.clock.after(hurryMs, () => void this.#look({ sweep: false }))
    } catch (error) {
      log.debug('images were not looked after', { error: String(error) })
    } finally {
      this.#busy = false
    }
    if (this.#again) this.#later(gatherMs)
  }

  /** True while some image has fewer copies than it could have. */
  async #keepCopies(): Promise<boolean> {
    const { consensus, storage, hosts } = this.#ports
    const images = [...consensus.state.tables.image.values()].filter(isDistributed)
    this.#dropFetches(images)
    if (images.length === 0) return false
    const files = new Set(await storage.images())
    const members = hosts()
    const missing = new Set<string>()
    let short = false
    for (const image of images) {
      const { sha256 } = image.spec
      const held = image.holders.includes(this.#nodeId)
      if (files.has(sha256) && !held) await this.#propose('image.hold', { id: image.id as ImageId, nodeId: this.#nodeId })
      else if (held && !files.has(sha256)) {
        if (this.#missing.has(image.id)) await this.#propose('image.drop', { id: image.id as ImageId, nodeId: this.#nodeId, lost: true })
        missing.add(image.id)
      } else await this.#followPlan(image, members)
      short ||= keepersOf(consensus.state, image).length < (copiesWanted(consensus.state, image) ?? 0)
    }
    this.#missing = missing
    return short || missing.size > 0
  }

  async #followPlan(image: StoredImage, members: readonly ImageHost[]): Promise<void> {
    const plan = planCopies(this.#ports.consensus.state, image, members)
    if (plan.fetch.includes(this.#nodeId)) this.#fetch(image)
    if (plan.drop.includes(this.#nodeId) && !this.#kept.has(image.spec.sha256)) await this.#drop(image)
  }

  #fetch(image: StoredImage): void {
    const { supply, log } = this.#ports
    if (this.#fetching.has(image.id)) return
    const abort = new AbortController()
    this.#fetching.set(image.id, abort)
    const over = () => {
      this.#fetching.delete(image.id)
      this.#later(gatherMs)
    }
    supply.ensure(image.spec.sha256, image.spec.format, abort.signal).then(over, (error: unknown) => {
      this.#fetching.delete(image.id)
      if (!abort.signal.aborted) log.warn('a copy of an image could not be fetched; it is tried again', { image: image.name, error: String(error) })
    })
  }

  /** What was deleted, or has copies enough by now, is not waited for. */
  #dropFetches(images: readonly StoredImage[]): void {
    const { state } = this.#ports.consensus
    const wanted = new Set(images.filter((image) => keepersOf(state, image).length < (copiesWanted(state, image) ?? 0)).map((image) => image.id))
    for (const [id, abort] of this.#fetching) if (!wanted.has(id)) abort.abort()
  }

  /** Said first, then done: in between nobody counts on it. */
  async #drop(image: StoredImage): Promise<void> {
    const { consensus, storage, log } = this.#ports
    const { sha256 } = image.spec
    const result = await this.#propose('image.drop', { id: image.id as ImageId, nodeId: this.#nodeId, lost: false })
    if (result.kind === 'refused') return
    const otherwise = [...consensus.state.tables.image.values()].some((other) => other.spec.sha256 === sha256 && other.holders.includes(this.#nodeId))
    if (otherwise || isImageNeededOn(consensus.state, sha256, this.#nodeId)) return
    try {
      await storage.deleteImage(sha256)
      log.info('surplus copy of an image deleted', { image: image.name, sha256 })
    } catch (error) {
      this.#kept.add(sha256)
      log.warn('a surplus copy of an image could not be deleted', { image: image.name, error: String(error) })
    }
  }

  async #sweep(): Promise<void> {
    const { storage, consensus, supply } = this.#ports
    const files = await storage.images()
    const needed = neededImages(consensus.state)
    const unneeded = files.filter((sha256) => !needed.has(sha256))
    for (const sha256 of unneeded.filter((candidate) => this.#suspects.has(candidate))) await this.#delete(sha256)
    this.#suspects = new Set(unneeded)
    const oldestMs = this.#ports.clock.nowMs() - partialAgeMsMax
    const partials = (await storage.intake.list()).filter((partial) => partial.id.startsWith(partialOf('')) && partial.changedMs < oldestMs)
    for (const partial of partials) if (!supply.fetching().has(partial.id.slice(partialOf('').length))) await storage.intake.discard(partial.id)
  }

  async #delete(sha256: string): Promise<void> {
    const { storage, consensus, log } = this.#ports
    // Deleting takes time: somebody may have registered the same content meanwhile.
    if (neededImages(consensus.state).has(sha256)) return
    try {
      await storage.deleteImage(sha256)
      log.info('image file deleted', { sha256 })
    } catch (error) {
      log.debug('an image file could not be deleted', { sha256, error: String(error) })
    }
  }

  async #propose<Type extends CommandType>(type: Type, payload: CommandPayload<Type>): Promise<CommandResult> {
    const { clock, random, consensus } = this.#ports
    const head = { id: uuidV7(clock.nowMs(), random.bytes(10)), actor: { kind: 'node' as const, id: this.#nodeId, name: 'controller', address: '' } }
    return consensus.propose(makeCommand(type, head, payload), { timeoutMs: proposeTimeoutMs })
  }
}

function neededImages(state: State): ReadonlySet<string> {
  const needed = new Set<string>()
  for (const image of state.tables.image.values()) needed.add(image.spec.sha256)
  for (const vm of state.tables.vm.values()) for (const image of Object.values(vm.images)) needed.add(image.sha256)
  return needed
}
