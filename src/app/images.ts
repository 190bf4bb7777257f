// Use cases of images.
import { z } from 'zod'
import { OperationalError } from '../model/error.ts'
import type { ImageId, OperationId } from '../model/id.ts'
import { imageCopiesDefault, imageCopiesTextSchema, imageFromUrlSchema, imageImportSchema, type Image, type StoredImage } from '../model/image.ts'
import type { Operation } from '../model/operation.ts'
import { defaultProject } from '../model/resource.ts'
import { imageBytesMax } from '../model/upload.ts'
import { imageUses } from '../state/image-use.ts'
import { authorize, maySeeImage } from './authorize.ts'
import type { AppContext } from './context.ts'
import type { Caller, Images, ListQuery, Page, WriteOptions, Written } from './face.ts'
import type { ImageRegistration } from './image-registration.ts'
import { listPage, type ListShape } from './list.ts'
import { parseInput } from './parse.ts'
import { presentImage, presentOperation } from './present.ts'
import { findInProjects } from './reference.ts'
import { dryRun, findEarlier, propose, waitUntil } from './write.ts'

/** What GET gave can be sent back; what cannot be changed may be there if it is the same. */
const patchSchema = z.strictObject({
  id: z.string().optional(), kind: z.string().optional(), name: z.string().optional(), project: z.string().optional(),
  generation: z.unknown().optional(), status: z.unknown().optional(),
  revision: z.number().int().nonnegative().optional(),
  labels: z.record(z.string(), z.unknown()).optional(),
  spec: z.record(z.string(), z.unknown()).optional(),
})

export class ImageUseCases implements Images {
  readonly #context: AppContext
  readonly #shape: ListShape<StoredImage>
  readonly #registration: ImageRegistration

  constructor(context: AppContext, registration: ImageRegistration) {
    this.#context = context
    this.#registration = registration
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
    const visible = [...this.#context.state.tables.image.values()].filter((image) => maySeeImage(caller, image))
    return listPage(visible, this.#shape, query, (image) => presentImage(this.#context, image))
  }

  get(caller: Caller, ref: string): Image {
    return presentImage(this.#context, this.#find(caller, ref))
  }

  async import(caller: Caller, query: unknown, source: () => AsyncIterable<Uint8Array>, options: WriteOptions): Promise<Written<Image>> {
    const input = parseInput(imageImportSchema, query)
    const copies = parseInput(imageCopiesTextSchema, input.copies)
    authorize(caller, 'operate', defaultProject, 'images')
    const expect = { sha256: input.sha256 ?? null, sizeBytesMax: imageBytesMax }
    if (options.dryRun) {
      // The file is not looked at: what it holds would be known only by taking it in.
      if (input.sha256 !== undefined) this.#registration.requireName(input.name, { sizeBytes: 0, sha256: input.sha256 })
      return { dryRun: true, differences: [{ path: '', before: null, after: { name: input.name, labels: {}, spec: { ...(input.sha256 === undefined ? {} : { sha256: input.sha256 }), os: input.os ?? '', copies } } }] }
    }
    return this.#registration.during(async () => {
      const file = await this.#context.ports.storage.importImage(source(), expect, options.signal)
      return this.get(caller, await this.#registration.register(caller, file, { name: input.name, labels: {}, os: input.os ?? '', copies }, options))
    })
  }

  async importUrl(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Operation>> {
    const input = parseInput(imageFromUrlSchema, body)
    authorize(caller, 'operate', input.project ?? defaultProject, 'images')
    const { source } = input.spec
    const payload = {
      operationId: this.#context.newId() as OperationId, imageId: this.#context.newId() as ImageId, nodeId: this.#context.nodeId,
      name: input.name, project: input.project ?? defaultProject, labels: input.labels ?? {},
      url: this.#context.ports.imageSource.check(source.url), sha256: source.sha256 ?? null, os: input.spec.os ?? '', copies: input.spec.copies ?? imageCopiesDefault,
    }
    if (options.dryRun) {
      dryRun(this.#context, caller, 'image.import', payload, 'operation')
      return { dryRun: true, differences: [{ path: '', before: null, after: { name: payload.name, labels: payload.labels, spec: { source, os: payload.os, copies: payload.copies } } }] }
    }
    const done = await propose(this.#context, caller.actor, 'image.import', payload, options)
    const ended = () => this.#context.state.tables.operation.get(done.operationId ?? '')?.endedMs !== null
    await waitUntil(this.#context, { seconds: options.waitSeconds, signal: options.signal, holds: ended })
    const operation = this.#context.state.tables.operation.get(done.operationId ?? '')
    if (operation === undefined) throw new OperationalError('NOT_FOUND', 'The operation of this import is over and forgotten.')
    return presentOperation(this.#context, operation)
  }

  async patch(caller: Caller, ref: string, body: unknown, options: WriteOptions): Promise<Written<Image>> {
    const image = this.#find(caller, ref)
    authorize(caller, 'operate', image.project, image.name)
    const input = parseInput(patchSchema, body)
    const { revision, name, labels, spec } = input
    const payload = {
      id: image.id as ImageId, patch: { ...(name === undefined ? {} : { name }), ...(labels === undefined ? {} : { labels }), ...(spec === undefined ? {} : { spec }) },
      ...(options.ifMatch === null ? {} : { ifMatch: options.ifMatch }), ...(revision === undefined ? {} : { revision }),
    }
    if (options.dryRun) return dryRun(this.#context, caller, 'image.patch', payload, 'image')
    await propose(this.#context, caller.actor, 'image.patch', payload, options)
    return this.get(caller, image.id)
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

  #find(caller: Caller, ref: string): StoredImage {
    const image = findInProjects(this.#context.state, 'image', ref, (record) => maySeeImage(caller, record))
    if (image === undefined) throw new OperationalError('NOT_FOUND', `There is no image ${ref.slice(0, 80)}.`)
    return image
  }
}
