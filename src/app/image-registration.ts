// From a file that this node has taken in to an image of the cluster; what is refused leaves no file, unless another import may need it.
import { OperationalError } from '../model/error.ts'
import type { ImageId } from '../model/id.ts'
import type { ImageCopies, StoredImage } from '../model/image.ts'
import { defaultProject, type Labels } from '../model/resource.ts'
import type { ImageFile } from '../ports/storage.ts'
import { nameKey } from '../state/state.ts'
import type { AppContext } from './context.ts'
import type { Caller, WriteOptions } from './face.ts'
import { propose } from './write.ts'

export type AboutImage = { readonly name: string; readonly labels: Labels; readonly os: string; readonly copies: ImageCopies }

export class ImageRegistration {
  readonly #context: AppContext
  /** Imports whose outcome is not known yet. */
  #running = 0

  constructor(context: AppContext) {
    this.#context = context
  }

  /** Everything between the first byte and the registration runs in here. @throws NO_QUORUM before anything is taken in */
  async during<T>(action: () => Promise<T>): Promise<T> {
    if (!this.#context.ports.consensus.status().quorum) throw new OperationalError('NO_QUORUM', 'There is no quorum: the image was not taken in.')
    this.#running++
    try {
      return await action()
    } finally {
      this.#running--
    }
  }

  /** @throws NAME_TAKEN where an image of another size has the name: then the content is another for sure */
  requireName(name: string, file: { readonly sizeBytes: number; readonly sha256: string | null }): void {
    const former = this.#named(name)
    if (former === undefined) return
    const may = file.sha256 === null ? former.spec.sizeBytes === file.sizeBytes : former.spec.sha256 === file.sha256
    if (!may) throw new OperationalError('NAME_TAKEN', `${name} is taken by another image. Nothing was taken in.`, { data: { fields: [{ path: 'name', message: 'is taken' }] } })
  }

  /** @returns the image's id */
  async register(caller: Caller, file: ImageFile, about: AboutImage, options: Pick<WriteOptions, 'idempotencyKey' | 'bodyHash' | 'signal'>): Promise<string> {
    const payload = {
      id: this.#context.newId() as ImageId, name: about.name, project: defaultProject, labels: about.labels, holder: this.#context.nodeId,
      spec: { format: file.format, sha256: file.sha256, sizeBytes: file.sizeBytes, virtualSizeBytes: file.virtualSizeBytes, os: about.os, copies: about.copies },
    }
    try {
      return (await propose(this.#context, caller.actor, 'image.register', payload, options)).id
    } catch (error) {
      // An unknown outcome may yet come true, and another import may be of the same file; the image controller sweeps it if nobody needs it.
      const unknown = error instanceof OperationalError && error.code === 'OUTCOME_UNKNOWN'
      if (!unknown && this.#running === 1 && !this.#isUsed(file.sha256)) await this.#context.ports.storage.deleteImage(file.sha256)
      throw error
    }
  }

  #named(name: string): StoredImage | undefined {
    const { names, tables } = this.#context.state
    const id = names.get(nameKey('image', defaultProject, name))
    return id === undefined ? undefined : tables.image.get(id)
  }

  #isUsed(sha256: string): boolean {
    const { image, vm } = this.#context.state.tables
    if ([...image.values()].some((candidate) => candidate.spec.sha256 === sha256)) return true
    return [...vm.values()].some((candidate) => Object.values(candidate.images).some((used) => used.sha256 === sha256))
  }
}
