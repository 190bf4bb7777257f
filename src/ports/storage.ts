// One host's disks: images it holds and volumes made of them.
import type { CloudInit } from '../model/vm.ts'
import type { ImageIntake } from './image-intake.ts'

export type VolumeRequest = {
  readonly vmId: string
  readonly name: string
  /** Null: as large as the image. */
  readonly sizeBytes: number | null
  readonly image: { readonly sha256: string; readonly format: 'qcow2' | 'raw' } | null
}
export type Volume = { readonly vmId: string; readonly name: string; readonly path: string; readonly sizeBytes: number }
export type ImageFile = { readonly sha256: string; readonly format: 'qcow2' | 'raw'; readonly sizeBytes: number; readonly virtualSizeBytes: number }

export interface StorageDriver {
  /** Images that come in piece by piece, or go out. */
  readonly intake: ImageIntake
  start(): Promise<void>
  /** Existing volumes stay as they are: idempotent. STORAGE_FULL leaves nothing behind. */
  createVolume(request: VolumeRequest): Promise<Volume>
  /** Grows a volume that is not in use; shrinking is refused with INVALID. */
  resizeVolume(vmId: string, name: string, sizeBytes: number): Promise<void>
  deleteVolume(vmId: string, name: string): Promise<void>
  /** Deletes every volume and the seed of a VM; unknown is fine. */
  deleteVolumes(vmId: string): Promise<void>
  volumes(vmId?: string): Promise<readonly Volume[]>
  /** The volume's file as it lies on the disk, of a VM that is off: what it does not share with its image. @throws NOT_FOUND */
  readVolume(vmId: string, name: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Takes in what another host's `readVolume` gave; the image it stands on has to be here. Replaces nothing: STATE_CONFLICT where it exists. On failure nothing is left. */
  takeVolume(request: VolumeRequest, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Volume>
  /** Writes the NoCloud seed and returns its path. */
  writeSeed(vmId: string, seed: CloudInit & { readonly hostname: string }): Promise<string>
  /**
   * Takes in an image: streams, hashes, checks it (qemu-img: no backing file, no external data file, known format), then keeps it.
   * On failure nothing is left. IMAGE_UNREADABLE, IMAGE_CHECKSUM, STORAGE_FULL.
   */
  importImage(source: AsyncIterable<Uint8Array>, expect: { readonly sha256: string | null; readonly sizeBytesMax: number }, signal: AbortSignal): Promise<ImageFile>
  hasImage(sha256: string): Promise<boolean>
  deleteImage(sha256: string): Promise<void>
  images(): Promise<readonly string[]>
  usage(): Promise<{ readonly usedBytes: number; readonly totalBytes: number }>
}
