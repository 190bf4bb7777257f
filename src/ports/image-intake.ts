// Images on their way: files that grow piece by piece, survive a restart, and become images once whole; and images read for others.
import type { ImageFile } from './storage.ts'

export type PartialImage = {
  readonly id: string
  /** What has come so far and will be there after a restart. */
  readonly sizeBytes: number
  /** Whatever its owner wants to find again. */
  readonly note: string
  readonly changedMs: number
}

export interface ImageIntake {
  list(): Promise<readonly PartialImage[]>
  /**
   * Finds it, or makes it with the note. `verified`: a checksum will be asked for at the end, so what an ungraceful end left counts too.
   * @param id words, digits and hyphens
   */
  open(id: string, options: { readonly note: string; readonly verified: boolean }): Promise<PartialImage>
  /**
   * Appends what the source gives. What came before a failure stays, and the next call goes on there. A piece need be valid only until the next one is
   * asked for: sources use their buffers again.
   * @returns the size now
   * @throws NOT_FOUND; STATE_CONFLICT where `offset` is not the size (data.offset says it) or another append is going on; BODY_TOO_LARGE; STORAGE_FULL
   */
  append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<number>
  /**
   * Hashes, checks and keeps it as an image; then the partial file is gone.
   * @param expect.format set where the content is known from its checksum to be such an image: it is not looked into again
   * @throws NOT_FOUND; IMAGE_CHECKSUM, IMAGE_UNREADABLE (the partial file is gone too)
   */
  finish(id: string, expect: { readonly sha256: string | null; readonly format?: 'qcow2' | 'raw' }, signal: AbortSignal): Promise<ImageFile>
  /** Unknown is fine. */
  discard(id: string): Promise<void>
  /** @throws NOT_FOUND */
  sizeOf(sha256: string): Promise<number>
  /** The image's bytes from an offset on. A piece is valid until the next one is asked for: who keeps it longer copies it. @throws NOT_FOUND */
  read(sha256: string, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
}

export type AppendOptions = {
  readonly offset: number
  /** Of the whole file. */
  readonly sizeBytesMax: number
  readonly signal: AbortSignal
  /** Told the size, often. */
  readonly onSize?: (sizeBytes: number) => void
}

/** Ids come into file names. */
export const partialIdPattern = /^[a-z0-9]+(?:-[a-z0-9]+){0,8}$/
