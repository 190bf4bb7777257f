// What a volume may be called and how large it may be: the same rules in every storage driver.
import { virtualSizeBytesMax } from '../formats/disk-image.ts'
import { OperationalError } from '../model/error.ts'
import { namePattern, uuidPattern } from '../model/id.ts'

/** Ids become folder names, so nothing else may pass. @throws OperationalError INVALID */
export function checkVmId(vmId: string): void {
  if (!uuidPattern.test(vmId)) throw new OperationalError('INVALID', `"${vmId}" is no id of a VM.`)
}

/** @throws OperationalError INVALID */
export function checkVolumeName(name: string): void {
  if (!namePattern.test(name)) throw new OperationalError('INVALID', `"${name}" cannot be the name of a volume.`)
}

/**
 * @param smallestBytes what it holds already
 * @throws OperationalError INVALID
 */
export function checkVolumeSize(name: string, sizeBytes: number | undefined, smallestBytes: number): asserts sizeBytes is number {
  if (sizeBytes === undefined) throw new OperationalError('INVALID', `Volume ${name} needs a size or an image.`)
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes > virtualSizeBytesMax) throw new OperationalError('INVALID', `Volume ${name} cannot have ${sizeBytes} bytes.`)
  if (sizeBytes < smallestBytes) throw new OperationalError('INVALID', `Volume ${name} cannot be made smaller than the ${smallestBytes} bytes it holds.`)
}
