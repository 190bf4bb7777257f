// Use cases of uploads: they lie on this node only, survive its restart, and become images when they are whole.
import { z } from 'zod'
import { OperationalError } from '../model/error.ts'
import { imageCopiesDefault, type Image } from '../model/image.ts'
import { defaultProject } from '../model/resource.ts'
import { uploadCreateSchema, uploadLifeMs, uploadSchema, uploadsMax, type Upload } from '../model/upload.ts'
import type { Cancel } from '../ports/clock.ts'
import type { PartialImage } from '../ports/image-intake.ts'
import { authorize, may } from './authorize.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, Images, Page, UploadPart, Uploads, WriteOptions, Written } from './face.ts'
import type { ImageRegistration } from './image-registration.ts'
import { parseInput } from './parse.ts'

const prefix = 'upload-'
const sweepMs = 600_000
/** Uploads that became images not long ago: whoever asks again how it ended is told. */
const finishedMax = 64

const noteSchema = z.strictObject({
  name: uploadCreateSchema.shape.name, labels: z.record(z.string(), z.string()), spec: uploadCreateSchema.shape.spec, userId: z.string(), userName: z.string(), createdMs: z.number(),
  /** Of the request that began it. */
  key: z.string().optional(),
})
type Note = z.output<typeof noteSchema>
type Found = { readonly id: string; readonly note: Note; readonly partial: PartialImage }

export class UploadUseCases implements Uploads {
  readonly #context: AppContext
  readonly #registration: ImageRegistration
  readonly #images: Pick<Images, 'get'>
  /** Upload → image, in the order of their end. */
  readonly #finished = new Map<string, string>()
  readonly #finishing = new Map<string, Promise<string>>()
  #cancel: Cancel | null = null

  constructor(context: AppContext, registration: ImageRegistration, images: Pick<Images, 'get'>) {
    this.#context = context
    this.#registration = registration
    this.#images = images
  }

  start(): void {
    this.#cancel = this.#context.ports.clock.every(sweepMs, () => {
      this.#sweep().catch((error: unknown) => this.#context.ports.log.debug('uploads were not swept', { error: String(error) }))
    })
  }

  stop(): void {
    this.#cancel?.()
  }

  async list(caller: Caller): Promise<Page<Upload>> {
    authorize(caller, 'operate', defaultProject, 'uploads')
    const items = (await this.#all()).filter((upload) => isOf(upload, caller)).map((upload) => this.#present(upload))
    return { items, next: null, total: items.length }
  }

  async create(caller: Caller, body: unknown, options: WriteOptions): Promise<Written<Upload>> {
    const input = parseInput(uploadCreateSchema, body)
    authorize(caller, 'operate', defaultProject, 'images')
    this.#registration.requireName(input.name, { sizeBytes: input.spec.sizeBytes, sha256: input.spec.sha256 ?? null })
    if (!options.dryRun) await this.#sweep()
    const key = options.idempotencyKey === null ? undefined : `${caller.userId} ${options.idempotencyKey} ${options.bodyHash}`
    const earlier = key === undefined ? undefined : (await this.#all()).find((upload) => upload.note.key === key)
    if (earlier !== undefined) return this.#present(earlier)
    if ((await this.#all()).filter((upload) => !this.#isOver(upload)).length >= uploadsMax) throw new OperationalError('LIMIT_REACHED', `A node keeps at most ${uploadsMax} uploads at once. End one, or ask another node.`)
    const { storage, clock } = this.#context.ports
    const { usedBytes, totalBytes } = await storage.usage()
    const freeBytes = totalBytes - usedBytes
    if (freeBytes < input.spec.sizeBytes) throw new OperationalError('STORAGE_FULL', `The file has ${input.spec.sizeBytes} bytes, but this node has ${freeBytes} free. Nothing was taken in.`, { data: { availableBytes: freeBytes } })
    if (options.dryRun) return { dryRun: true, differences: [{ path: '', before: null, after: shownOf(input) }] }
    const note: Note = { name: input.name, labels: input.labels ?? {}, spec: input.spec, userId: caller.userId, userName: caller.userName, createdMs: clock.nowMs(), ...(key === undefined ? {} : { key }) }
    const id = this.#context.newId()
    const partial = await storage.intake.open(prefix + id, { note: JSON.stringify(note), verified: input.spec.sha256 !== undefined })
    return this.#present({ id, note, partial })
  }

  async get(caller: Caller, ref: string): Promise<Upload> {
    return this.#present(await this.#find(caller, ref))
  }

  async append(caller: Caller, ref: string, source: AsyncIterable<Uint8Array>, part: UploadPart): Promise<Upload> {
    const { id, note } = await this.#find(caller, ref)
    const { intake } = this.#context.ports.storage
    // Refused before any of it is taken: afterwards the next part would begin elsewhere.
    if (part.announcedBytes !== null && part.offset + part.announcedBytes > note.spec.sizeBytes) throw new OperationalError('BODY_TOO_LARGE', `The file was said to have ${note.spec.sizeBytes} bytes: ${part.announcedBytes} more at ${part.offset} are too many. Nothing was taken.`)
    await intake.open(prefix + id, { note: '', verified: false })
    await intake.append(prefix + id, source, { offset: part.offset, sizeBytesMax: note.spec.sizeBytes, signal: part.signal })
    return this.get(caller, id)
  }

  async finish(caller: Caller, ref: string, options: WriteOptions): Promise<Written<Image>> {
    const done = this.#finished.get(ref)
    if (done !== undefined) return options.dryRun ? { dryRun: true, differences: [] } : this.#images.get(caller, done)
    const upload = await this.#find(caller, ref)
    const { offset } = this.#present(upload).status
    if (offset < upload.note.spec.sizeBytes) throw new OperationalError('STATE_CONFLICT', `${offset} of ${upload.note.spec.sizeBytes} bytes have come: send the rest first.`, { data: { offset } })
    if (options.dryRun) {
      this.#registration.requireName(upload.note.name, { sizeBytes: upload.note.spec.sizeBytes, sha256: upload.note.spec.sha256 ?? null })
      return { dryRun: true, differences: [{ path: '', before: null, after: shownOf(upload.note) }] }
    }
    // Whoever asks twice, because the first answer did not arrive, waits for the same end.
    const running = this.#finishing.get(upload.id) ?? this.#keep(caller, upload, options).finally(() => this.#finishing.delete(upload.id))
    this.#finishing.set(upload.id, running)
    return this.#images.get(caller, await running)
  }

  async #keep(caller: Caller, { id, note }: Found, options: WriteOptions): Promise<string> {
    const { intake } = this.#context.ports.storage
    return this.#registration.during(async () => {
      this.#registration.requireName(note.name, { sizeBytes: note.spec.sizeBytes, sha256: note.spec.sha256 ?? null })
      // Not the client's signal: it may break off and ask again, and the hash of a large file is not made twice for that.
      const file = await intake.finish(prefix + id, { sha256: note.spec.sha256 ?? null }, new AbortController().signal)
      const imageId = await this.#registration.register(caller, file, { name: note.name, labels: note.labels, os: note.spec.os ?? '', copies: note.spec.copies ?? imageCopiesDefault }, options)
      this.#finished.set(id, imageId)
      for (const oldest of this.#finished.keys()) if (this.#finished.size > finishedMax) this.#finished.delete(oldest)
      return imageId
    })
  }

  async delete(caller: Caller, ref: string, options: WriteOptions): Promise<Written<null>> {
    const { id, note } = await this.#find(caller, ref)
    if (options.dryRun) return { dryRun: true, differences: [{ path: '', before: shownOf(note), after: null }] }
    await this.#context.ports.storage.intake.discard(prefix + id)
    return null
  }

  async #find(caller: Caller, ref: string): Promise<Found> {
    authorize(caller, 'operate', defaultProject, 'uploads')
    const upload = (await this.#all()).find((candidate) => candidate.id === ref)
    const name = this.#context.nodeName(this.#context.nodeId) ?? 'this node'
    if (upload === undefined || !isOf(upload, caller)) throw new OperationalError('NOT_FOUND', `There is no upload ${ref.slice(0, 80)} on ${name}. Uploads stay with the node that began them, for a day after the last part.`)
    return upload
  }

  async #all(): Promise<readonly Found[]> {
    const found: Found[] = []
    for (const partial of await this.#context.ports.storage.intake.list()) {
      if (!partial.id.startsWith(prefix)) continue
      const note = parseNote(partial.note)
      if (note !== null) found.push({ id: partial.id.slice(prefix.length), note, partial })
    }
    return found
  }

  async #sweep(): Promise<void> {
    for (const upload of (await this.#all()).filter((each) => this.#isOver(each))) await this.#context.ports.storage.intake.discard(prefix + upload.id)
  }

  #isOver(upload: Found): boolean {
    return upload.partial.changedMs + uploadLifeMs < this.#context.ports.clock.nowMs()
  }

  #present({ id, note, partial }: Found): Upload {
    return uploadSchema.parse({
      id, kind: 'upload', name: note.name, project: defaultProject, labels: note.labels, revision: 0, generation: 1, spec: note.spec,
      status: {
        offset: partial.sizeBytes, node: this.#context.nodeName(this.#context.nodeId) ?? '', user: note.userName,
        createdAt: isoTime(note.createdMs), expiresAt: isoTime(partial.changedMs + uploadLifeMs),
      },
    })
  }
}

/** What a client knows of it. */
function shownOf({ name, labels, spec }: Pick<Note, 'name' | 'spec'> & { readonly labels?: Note['labels'] | undefined }): object {
  return { name, labels: labels ?? {}, spec }
}

/** Whoever began it, and administrators. */
function isOf(upload: Found, caller: Caller): boolean {
  return upload.note.userId === caller.userId || may(caller, 'administer', '')
}

function parseNote(text: string): Note | null {
  try {
    const parsed = noteSchema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
