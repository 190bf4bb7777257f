// Getting an image onto this node, whoever asks: a controller before it makes a volume, a migration before it begins.

export type ImageProgress = { readonly processedBytes: number; readonly totalBytes: number }

/** A piece is valid until the next one is asked for. */
export type ImageBytes = { readonly sizeBytes: number; readonly pieces: AsyncIterable<Uint8Array> }

export interface ImageSupply {
  /**
   * Resolves when the image is here, whole and verified. Those who ask for the same share one transfer; it ends when the last of them gives up, and goes
   * on where it was when somebody asks again.
   * @throws OperationalError IMAGE_UNAVAILABLE where no holder gives it, STORAGE_FULL; the signal's reason
   */
  ensure(sha256: string, format: 'qcow2' | 'raw', signal: AbortSignal, onProgress?: (progress: ImageProgress) => void): Promise<void>
  /** What is on its way to this node, by SHA-256. */
  fetching(): ReadonlyMap<string, ImageProgress>
  /** What a ticket stands for, once: the bytes of an image, from some offset on, for another member. Null for one that is not (any more) valid. */
  redeem(ticket: string, signal: AbortSignal): ImageBytes | null
}

/** A way to another member's images beside the peer streams, made for many bytes. */
export interface PeerImages {
  /**
   * @param address host:port of HTTPS
   * @param ticket of that node, got over an authenticated stream
   * @returns pieces, each valid until the next one is asked for
   * @throws OperationalError PEER_UNREACHABLE, also the iteration; the signal's reason
   */
  open(address: string, ticket: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

/** Under which a node tells of an image on its way to it. */
export function fetchKey(sha256: string, nodeId: string): string {
  return `${sha256.slice(0, 24)}.${nodeId}`
}
