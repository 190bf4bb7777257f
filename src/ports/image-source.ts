// Files at addresses of the world outside, from which images are fetched.
import { OperationalError } from '../model/error.ts'

export type OpenedSource = {
  /** Where the bytes begin: as asked for, or 0 where the other side gives only the whole. */
  readonly offset: number
  /** Of the whole file; null where the other side does not say. */
  readonly totalBytes: number | null
  /** By which the same file is known again; null where there is no such thing: then it cannot be gone on with. */
  readonly validator: string | null
  readonly body: AsyncIterable<Uint8Array>
}

export interface ImageSource {
  /**
   * The address in its one form.
   * @throws OperationalError SOURCE_REFUSED for another protocol, credentials within it, and hosts given as an address that is private or our own
   */
  check(url: string): string
  /**
   * Names are resolved once and checked, every redirect anew; the connection goes to the very address that was checked.
   * @param from.validator the bytes before the offset were of this file
   * @throws OperationalError SOURCE_REFUSED, SOURCE_FAILED, BODY_TOO_LARGE; the signal's reason. The body throws SOURCE_FAILED where it breaks off
   */
  open(url: string, from: { readonly offset: number; readonly validator: string | null }, limits: { readonly sizeBytesMax: number; readonly signal: AbortSignal }): Promise<OpenedSource>
}

/** Of a node that has no way to the world outside. */
export const noImageSource: ImageSource = {
  check() {
    throw new OperationalError('SOURCE_REFUSED', 'This node fetches nothing from addresses.')
  },
  open: () => Promise.reject(new OperationalError('SOURCE_REFUSED', 'This node fetches nothing from addresses.')),
}
