// Getting an image onto this node, whoever asks: a controller before it makes a volume, a migration before it begins.

export type ImageProgress = { readonly processedBytes: number; readonly totalBytes: number }

export interface ImageSupply {
  /**
   * Resolves when the image is here, whole and verified. Those who ask for the same share one transfer; it ends when the last of them gives up, and goes
   * on where it was when somebody asks again.
   * @throws OperationalError IMAGE_UNAVAILABLE where no holder gives it, STORAGE_FULL; the signal's reason
   */
  ensure(sha256: string, format: 'qcow2' | 'raw', signal: AbortSignal, onProgress?: (progress: ImageProgress) => void): Promise<void>
  /** What is on its way to this node, by SHA-256. */
  fetching(): ReadonlyMap<string, ImageProgress>
}
