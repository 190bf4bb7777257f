// A VM on a node without its image: it waits for it, says so, starts when it is there, fails where it cannot be had, and lets go when it is deleted.
import { expect, test } from 'vitest'
import { OperationalError } from '../../../src/model/error.ts'
import { bootDisk, chunks, hashOf } from '../../contract/storage.ts'
import { Desk } from './desk.ts'

const disk = bootDisk(1024 * 1024, 'vm')
const sha256 = hashOf(disk)

async function waiting() {
  const desk = new Desk()
  const imageId = desk.world.image(desk.nodeId, 'base', sha256)
  desk.world.run('image.patch', { id: imageId, patch: { spec: { copies: 1 } } })
  await desk.start()
  const vmId = await desk.make('web', { runState: 'running', disks: [{ name: 'root', image: 'base', sizeGiB: 1 }] })
  return { desk, vmId }
}

test('waits for the image, then starts', async () => {
  const { desk, vmId } = await waiting()
  expect(desk.vm(vmId)?.report).toMatchObject({ phase: 'pending', code: '' })
  expect(desk.vm(vmId)?.report.message).toContain('25 %')
  const taking = desk.storage.importImage(chunks(disk), { sha256, sizeBytesMax: 2 ** 30 }, new AbortController().signal)
  await desk.pass(100)
  await taking
  desk.wanted.get(sha256)?.arrive()
  await desk.pass(3000)
  expect(desk.vm(vmId)?.report).toMatchObject({ phase: 'running', message: '' })
})

test('an image that cannot be had is why the VM fails', async () => {
  const { desk, vmId } = await waiting()
  desk.wanted.get(sha256)?.fail(new OperationalError('IMAGE_UNAVAILABLE', 'No node gives it.'))
  await desk.pass(200)
  expect(desk.vm(vmId)?.report).toMatchObject({ code: 'IMAGE_UNAVAILABLE', phase: 'failed' })
})

test('a VM that is deleted does not wait for its image', async () => {
  const { desk, vmId } = await waiting()
  expect(desk.stateOf(await desk.act(vmId, 'delete', { force: true }))).toBe('done')
  expect(desk.vm(vmId)).toBeUndefined()
  expect(desk.wanted.get(sha256)?.signal.aborted).toBe(true)
})
