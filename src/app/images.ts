// Use cases of images.
import type { z } from 'zod'
import { OperationalError } from '../model/error.ts'
import type { ImageId } from '../model/id.ts'
import { imageImportSchema, type Image, type StoredImage } from '../model/image.ts'
import { defaultProject } from '../model/resource.ts'
import { imageUses } from '../state/image-use.ts'
import { findByRef } from '../state/query.ts'
import { authorize, may } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, Images, ListQuery, Page, WriteOptions, Written } from './face.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentImage } from './present.ts'
import { dryRun, findEarlier, propose } from './write.ts'

/** No image file is larger: 4 TiB. What fits on the disk is for the storage to say. */
const imageBytesMax = 4 * 2 ** 40

export class ImageUseCases implements Images {
  readonly #context: AppContext
  readonly #shape: ListShape<StoredImage>
  /** Imports whose outcome is not known yet. */
  #importing = 0

  constructor(context: AppContext) {
    this.#context = context
    this.#shape = {
      id: (image) => image.id, name: (image) => image.name, labels: (image) => image.labels, sortDefault: 'name',
      fields: {
        name: (image) => image.name,
        size: (image) => image.spec.sizeBytes,
        format: (image) => image.spec.format,
        os: (image) => image.spec.os,
        uses: (image) => imageUses(context.state, image.id),
        created: (image) => image.createdMs,
      },
    }
  }

  list(caller: Caller, query: ListQuery): Page<Image> {
    const visible = [...this.#context.state.tables.image.values()].filter((image) => may(caller, 'read', image.project))
    return listPage(visible, this.#shape, query, (image) => presentImage(this.#context, image))
  }

  get(caller: Caller, ref: string): Image {
    return presentImage(this.#context, this.#find(caller, ref))
  }

  async import(caller: Caller, query: unknown, source: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<Image> {
    const input = parseInput(imageImportSchema, query)
    authorize(caller, 'operate', defaultProject, 'images')
    if (!this.#context.ports.consensus.status().quorum) throw new OperationalError('NO_QUORUM', 'There is no quorum: the image was not taken in.')
    this.#importing++
    try {
      return await this.#import(caller, input, source, options)
    } finally {
      this.#importing--
    }
  }

  async #import(caller: Caller, input: z.output<typeof imageImportSchema>, source: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<Image> {
    const { storage } = this.#context.ports
    const file = await storage.importImage(source, { sha256: input.sha256 ?? null, sizeBytesMax: imageBytesMax }, options.signal)
    const payload = {
      id: this.#context.newId() as ImageId, name: input.name, project: defaultProject, labels: {}, holder: this.#context.nodeId,
      spec: { format: file.format, sha256: file.sha256, sizeBytes: file.sizeBytes, virtualSizeBytes: file.virtualSizeBytes, os: input.os ?? '' },
    }
    try {
      const done = await propose(this.#context, caller.actor, 'image.register', payload, options)
      return this.get(caller, done.id)
    } catch (error) {
      // An unknown outcome may yet come true, and another import may be of the same file; the image controller sweeps it if nobody needs it.
      const unknown = error instanceof OperationalError && error.code === 'OUTCOME_UNKNOWN'
      if (!unknown && this.#importing === 1 && !this.#isUsed(file.sha256)) await storage.deleteImage(file.sha256)
      throw error
    }
  }

  async delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    if (findEarlier(this.#context, caller, options) !== null) return null
    const image = this.#find(caller, ref)
    authorize(caller, 'operate', image.project, image.name)
    const payload = { id: image.id as ImageId, ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }) }
    if (options.dryRun) return dryRun(this.#context, caller, 'image.delete', payload, 'image')
    await propose(this.#context, caller.actor, 'image.delete', payload, options)
    return null
  }

  #isUsed(sha256: string): boolean {
    const { image, vm } = this.#context.state.tables
    if ([...image.values()].some((candidate) => candidate.spec.sha256 === sha256)) return true
    return [...vm.values()].some((candidate) => Object.values(candidate.images).some((used) => used.sha256 === sha256))
  }

  #find(caller: Caller, ref: string): StoredImage {
    const image = findByRef(this.#context.state, 'image', ref, defaultProject)
    if (image === undefined || !may(caller, 'read', image.project)) throw new OperationalError('NOT_FOUND', `There is no image ${ref.slice(0, 80)}.`)
    return image
  }
}
