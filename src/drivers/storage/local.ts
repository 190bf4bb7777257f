// The StorageDriver port on a directory: images by their hash, volumes as qcow2 overlays on them, cloud-init seeds.
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { renderSeedFiles, seedVolumeLabel } from '../../formats/cloud-init.ts'
import { parseQcow2Header, qcow2HeaderBytes, type Qcow2Header } from '../../formats/qcow2.ts'
import { OperationalError } from '../../model/error.ts'
import { uuidPattern } from '../../model/id.ts'
import type { CloudInit } from '../../model/vm.ts'
import type { Log } from '../../ports/log.ts'
import type { ImageFile, StorageDriver, Volume, VolumeRequest } from '../../ports/storage.ts'
import { checkVmId, checkVolumeName, checkVolumeSize } from '../volume-rules.ts'
import { exists, hasCode, publish, publishNew, readSpace, readStart, storageError } from './files.ts'
import { checkImage } from './image-check.ts'
import { LocalImageIntake } from './image-intake.ts'
import { requireSpace, takeIn } from './intake.ts'
import { ImageTool } from './qemu-img.ts'
import { receiveVolume, streamVolume } from './volume-transfer.ts'

const formats = ['qcow2', 'raw'] as const
const sha256Pattern = /^[0-9a-f]{64}$/
const createTimeoutMs = 30_000
const resizeTimeoutMs = 60_000
const seedTimeoutMs = 15_000
const defaultReserveBytes = 256 * 1024 * 1024
/** A new volume begins with its tables only. */
const volumeBytesMin = 1024 * 1024

export type LocalStorageOptions = {
  readonly directory: string
  /** Images and volumes are refused rather than leave less than this free. Default 256 MiB. */
  readonly freeBytesReserve?: number
}

export class LocalStorage implements StorageDriver {
  readonly intake: LocalImageIntake
  readonly #directory: string
  readonly #reserveBytes: number
  readonly #log: Log
  readonly #tool = new ImageTool()

  constructor(options: LocalStorageOptions, dependencies: { readonly log: Log; readonly nowMs?: () => number }) {
    this.#directory = resolve(options.directory)
    this.#reserveBytes = options.freeBytesReserve ?? defaultReserveBytes
    this.#log = dependencies.log
    this.intake = new LocalImageIntake({ directory: this.#directory, reserveBytes: this.#reserveBytes, tool: this.#tool, nowMs: dependencies.nowMs ?? Date.now })
  }

  async start(): Promise<void> {
    // What an earlier life did not finish.
    const left = await readdir(this.#path('incoming')).catch(() => [])
    if (left.length > 0) this.#log.info('unfinished storage work removed', { count: left.length })
    await rm(this.#path('incoming'), { recursive: true, force: true })
    for (const folder of ['images', 'volumes', 'incoming']) await mkdir(this.#path(folder), { recursive: true, mode: 0o755 })
  }

  async createVolume(request: VolumeRequest): Promise<Volume> {
    const path = this.#volumePath(request.vmId, request.name)
    const existing = await readHeader(path)
    if (existing !== null) return { vmId: request.vmId, name: request.name, path, sizeBytes: existing.virtualSizeBytes }
    const backing = request.image === null ? null : await this.#backing(request.image)
    const sizeBytes = request.sizeBytes ?? backing?.virtualSizeBytes
    checkVolumeSize(request.name, sizeBytes, backing?.virtualSizeBytes ?? 0)
    return this.#undoing(`creating volume ${request.name}`, this.#temporary('.qcow2'), async (temporary) => {
      await requireSpace(this.#directory, this.#reserveBytes + volumeBytesMin)
      const base = backing === null ? [] : ['-b', backing.path, '-F', backing.format]
      await this.#tool.runOrThrow('qemu-img', ['create', '-q', '-f', 'qcow2', ...base, temporary, String(sizeBytes)], { timeoutMs: createTimeoutMs })
      await mkdir(this.#path('volumes', request.vmId), { recursive: true, mode: 0o755 })
      await publishNew(temporary, path)
      const made = await readHeader(path)
      if (made === null) throw new OperationalError('STORAGE_FAILED', `Volume ${request.name} was made but cannot be read`)
      return { vmId: request.vmId, name: request.name, path, sizeBytes: made.virtualSizeBytes }
    })
  }

  async resizeVolume(vmId: string, name: string, sizeBytes: number): Promise<void> {
    const path = this.#volumePath(vmId, name)
    const header = await readHeader(path)
    if (header === null) throw new OperationalError('NOT_FOUND', `There is no volume ${name} of ${vmId} on this host.`)
    checkVolumeSize(name, sizeBytes, header.virtualSizeBytes)
    if (sizeBytes === header.virtualSizeBytes) return
    await this.#tool.runOrThrow('qemu-img', ['resize', '-q', '-f', 'qcow2', path, String(sizeBytes)], { timeoutMs: resizeTimeoutMs })
  }

  async deleteVolume(vmId: string, name: string): Promise<void> {
    await this.#wrapped('deleting a volume', async () => {
      await rm(this.#volumePath(vmId, name), { force: true })
      await rmdir(this.#path('volumes', vmId)).catch((error: unknown) => {
        if (!hasCode(error, 'ENOTEMPTY', 'ENOENT')) throw error
      })
    })
  }

  async deleteVolumes(vmId: string): Promise<void> {
    checkVmId(vmId)
    await this.#wrapped('deleting volumes', () => rm(this.#path('volumes', vmId), { recursive: true, force: true }))
  }

  async volumes(vmId?: string): Promise<readonly Volume[]> {
    if (vmId !== undefined) checkVmId(vmId)
    const owners = vmId === undefined ? (await list(this.#path('volumes'))).filter((name) => uuidPattern.test(name)) : [vmId]
    const found: Volume[] = []
    for (const owner of owners) {
      for (const file of await list(this.#path('volumes', owner))) {
        const path = this.#path('volumes', owner, file)
        const header = file.endsWith('.qcow2') ? await readHeader(path) : null
        if (header !== null) found.push({ vmId: owner, name: file.slice(0, -'.qcow2'.length), path, sizeBytes: header.virtualSizeBytes })
      }
    }
    return found
  }

  readVolume(vmId: string, name: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return streamVolume(this.#volumePath(vmId, name), signal)
  }

  async takeVolume(request: VolumeRequest, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Volume> {
    const { vmId, name } = request
    const path = this.#volumePath(vmId, name)
    const taken = (): OperationalError => new OperationalError('STATE_CONFLICT', `This host has a volume ${name} of ${vmId} already. It was left as it is.`)
    if (await exists(path)) throw taken()
    const backing = request.image === null ? null : await this.#backing(request.image)
    return this.#undoing(`taking volume ${name}`, this.#temporary('.qcow2'), async (temporary) => {
      await receiveVolume(source, { temporary, name, backing, directory: this.#directory, freeBytesReserve: this.#reserveBytes }, this.#tool, signal)
      await mkdir(this.#path('volumes', vmId), { recursive: true, mode: 0o755 })
      if (!(await publishNew(temporary, path))) throw taken()
      const made = await readHeader(path)
      if (made === null) throw new OperationalError('STORAGE_FAILED', `Volume ${name} was taken but cannot be read`)
      return { vmId, name, path, sizeBytes: made.virtualSizeBytes }
    })
  }

  async writeSeed(vmId: string, seed: CloudInit & { readonly hostname: string }): Promise<string> {
    checkVmId(vmId)
    const path = this.#path('volumes', vmId, 'seed.iso')
    return this.#undoing('writing the cloud-init seed', await mkdtemp(this.#path('incoming', 'seed-')), async (folder) => {
      const files = renderSeedFiles({ ...seed, instanceId: vmId })
      for (const file of files) await writeFile(join(folder, file.name), file.text, { mode: 0o600 })
      const names = files.map((file) => file.name)
      await this.#tool.runOrThrow('genisoimage', ['-quiet', '-output', 'seed.iso', '-volid', seedVolumeLabel, '-joliet', '-rock', ...names], { timeoutMs: seedTimeoutMs, cwd: folder })
      await mkdir(this.#path('volumes', vmId), { recursive: true, mode: 0o755 })
      await publish(join(folder, 'seed.iso'), path)
      return path
    })
  }

  async importImage(
    source: AsyncIterable<Uint8Array>, expect: { readonly sha256: string | null; readonly sizeBytesMax: number }, signal: AbortSignal,
  ): Promise<ImageFile> {
    return this.#undoing('importing an image', this.#temporary('.image'), async (temporary) => {
      const { sha256, sizeBytes } = await takeIn(
        source, { path: temporary, sizeBytesMax: expect.sizeBytesMax, freeBytesReserve: this.#reserveBytes, directory: this.#directory }, signal,
      )
      if (expect.sha256 !== null && expect.sha256.toLowerCase() !== sha256) {
        throw new OperationalError('IMAGE_CHECKSUM', `The file's SHA-256 is ${sha256}, not ${expect.sha256.toLowerCase()}. Nothing was kept.`, { data: { sha256 } })
      }
      const { format, virtualSizeBytes } = await checkImage(temporary, this.#tool)
      signal.throwIfAborted()
      await publish(temporary, this.#imagePath(sha256, format))
      return { sha256, format, sizeBytes, virtualSizeBytes }
    })
  }

  async hasImage(sha256: string): Promise<boolean> {
    return (await this.#findImage(sha256)) !== null
  }

  async deleteImage(sha256: string): Promise<void> {
    const path = await this.#findImage(sha256)
    if (path === null) return
    for (const volume of await this.volumes()) {
      if ((await readHeader(volume.path))?.backingFile?.endsWith(`/${basename(path)}`) === true) {
        throw new OperationalError('IN_USE', `The image is what volume ${volume.name} of VM ${volume.vmId} stands on.`, { data: { vmId: volume.vmId } })
      }
    }
    await this.#wrapped('deleting an image', () => rm(path, { force: true }))
  }

  async images(): Promise<readonly string[]> {
    const names = await list(this.#path('images'))
    return names.map((name) => name.split('.')[0]!).filter((name) => sha256Pattern.test(name))
  }

  async usage(): Promise<{ readonly usedBytes: number; readonly totalBytes: number }> {
    const { usedBytes, totalBytes } = await this.#wrapped('measuring the storage', () => readSpace(this.#directory))
    return { usedBytes, totalBytes }
  }

  #path(...parts: readonly string[]): string {
    return join(this.#directory, ...parts)
  }

  #temporary(suffix: string): string {
    return this.#path('incoming', randomBytes(12).toString('hex') + suffix)
  }

  #volumePath(vmId: string, name: string): string {
    checkVmId(vmId)
    checkVolumeName(name)
    return this.#path('volumes', vmId, `${name}.qcow2`)
  }

  #imagePath(sha256: string, format: (typeof formats)[number]): string {
    if (!sha256Pattern.test(sha256)) throw new OperationalError('INVALID', 'An image is named by the 64 hex digits of its SHA-256.')
    return this.#path('images', `${sha256}.${format}`)
  }

  async #findImage(sha256: string): Promise<string | null> {
    for (const format of formats) {
      const path = this.#imagePath(sha256, format)
      if (await exists(path)) return path
    }
    return null
  }

  async #backing(image: NonNullable<VolumeRequest['image']>): Promise<{ readonly path: string; readonly format: string; readonly virtualSizeBytes: number }> {
    const path = this.#imagePath(image.sha256, image.format)
    if (!(await exists(path))) throw new OperationalError('REFERENCE_MISSING', `Image ${image.sha256.slice(0, 12)}… is not on this host.`)
    const { virtualSizeBytes } = await readVirtualSize(path, image.format)
    return { path, format: image.format, virtualSizeBytes }
  }

  /** Whatever happens, the temporary file or folder is gone afterwards. */
  async #undoing<T>(doing: string, temporary: string, action: (temporary: string) => Promise<T>): Promise<T> {
    return this.#wrapped(doing, async () => {
      try {
        return await action(temporary)
      } finally {
        await rm(temporary, { recursive: true, force: true })
      }
    })
  }

  async #wrapped<T>(doing: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      throw storageError(error, doing)
    }
  }
}

async function readVirtualSize(path: string, format: 'qcow2' | 'raw'): Promise<{ readonly virtualSizeBytes: number }> {
  if (format === 'qcow2') {
    const header = await readHeader(path)
    if (header === null) throw new OperationalError('STORAGE_FAILED', `The image ${path} is damaged.`)
    return header
  }
  return { virtualSizeBytes: (await stat(path)).size }
}

/** Null where there is no such file. */
async function readHeader(path: string): Promise<Qcow2Header | null> {
  try {
    return parseQcow2Header(await readStart(path, qcow2HeaderBytes))
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null
    throw storageError(error, 'reading a volume')
  }
}

async function list(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).toSorted()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw storageError(error, 'listing the storage')
  }
}
