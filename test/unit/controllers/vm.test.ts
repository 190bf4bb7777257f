// The VM controller through what goes wrong: a hypervisor that is away, disks that are gone, guests that crash, waits without quorum.
import { expect, test } from 'vitest'
import { OperationalError } from '../../../src/model/error.ts'
import { Desk, noQuorum } from './desk.ts'

const disks = [{ name: 'root', sizeGiB: 1 }]

test('a VM comes up, is stopped, started and deleted with its disks', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { runState: 'running', disks })
  expect(desk.vm(id)?.report).toMatchObject({ phase: 'running', madeDisks: ['root'] })
  expect(desk.stateOf(await desk.act(id, 'stop'))).toBe('done')
  expect(desk.vm(id)?.report.phase).toBe('stopped')
  expect(desk.stateOf(await desk.act(id, 'start'))).toBe('done')
  const before = desk.proposed.length
  expect(desk.stateOf(await desk.act(id, 'delete', { force: true }))).toBe('done')
  expect(desk.vm(id)).toBeUndefined()
  expect(desk.pool.volumes.size).toBe(0)
  // One report of its end and two steps: nobody is told that what is being deleted is pending again.
  expect(desk.proposed.slice(before).map((command) => command.type)).toEqual(['vm.report', 'operation.step', 'operation.step'])
})

test('a disk that is gone is not made anew, empty', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { runState: 'running', disks })
  await desk.act(id, 'stop')
  const held = desk.pool.volumes.get(id)!
  desk.pool.volumes.delete(id)
  expect(desk.stateOf(await desk.act(id, 'start'))).toBe('failed STORAGE_FAILED')
  expect(desk.vm(id)?.report).toMatchObject({ phase: 'failed', code: 'STORAGE_FAILED', message: expect.stringContaining('root') })
  expect(desk.pool.volumes.has(id)).toBe(false)
  desk.pool.volumes.set(id, held)
  expect(desk.stateOf(await desk.act(id, 'start'))).toBe('done')
  desk.world.run('vm.patch', { id, seed: '00', patch: { spec: { disks: [...disks, { name: 'data', sizeGiB: 1 }] } } })
  await desk.act(id, 'stop')
  expect([...(desk.pool.volumes.get(id)?.keys() ?? [])]).toEqual(['root', 'data'])
})

test('removing goes on until it succeeds: half of a VM is not brought back', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { disks })
  desk.pool.faults.failRatio = 1
  const operationId = await desk.act(id, 'delete', { force: true })
  expect(desk.stateOf(operationId)).toBe('running')
  desk.pool.faults.failRatio = 0
  await desk.pass(60_000)
  expect(desk.stateOf(operationId)).toBe('done')
})

test('an operation does not wait for ever for a hypervisor that is away', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { disks })
  desk.machine.setReachable(false)
  const operationId = await desk.act(id, 'start')
  expect(desk.stateOf(operationId)).toBe('running')
  await desk.pass(60_000)
  expect(desk.stateOf(operationId)).toBe('failed HYPERVISOR_UNREACHABLE')
  expect(desk.vm(id)?.spec.runState).toBe('stopped')
  desk.machine.setReachable(true)
  expect(desk.stateOf(await desk.act(id, 'start'))).toBe('done')
})

test('nor for an action that is never answered, though looking is', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { disks })
  desk.hypervisor.boot = () => Promise.reject(new OperationalError('HYPERVISOR_TIMEOUT', 'no answer'))
  const operationId = await desk.act(id, 'start')
  expect(desk.stateOf(operationId)).toBe('running')
  await desk.pass(60_000)
  expect(desk.stateOf(operationId)).toBe('failed HYPERVISOR_TIMEOUT')
})

test.each(['HYPERVISOR_REFUSED', 'HYPERVISOR_TIMEOUT'] as const)('a guest that cannot be asked to power off (%s) is forced when its time is over, and a delete goes on', async (code) => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { runState: 'running', disks })
  desk.hypervisor.shutdown = () => Promise.reject(new OperationalError(code, 'not now'))
  const operationId = await desk.act(id, 'delete')
  await desk.pass(10_000)
  expect(desk.stateOf(operationId)).toBe('running')
  await desk.pass(60_000)
  expect(desk.stateOf(operationId)).toBe('done')
  expect(desk.vm(id)).toBeUndefined()
  expect(desk.pool.volumes.size).toBe(0)
})

test('that it cannot be asked is told once in each stop, in its report and in the log, until the stop is over', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { runState: 'running', disks })
  let asked = 0
  desk.hypervisor.shutdown = () => Promise.reject(new OperationalError('HYPERVISOR_REFUSED', `not now, for the ${++asked}. time`))
  const logged = () => desk.lines.filter(({ message }) => message === 'a guest could not be asked to power off').length
  const reports = () => desk.proposed.filter((command) => command.type === 'vm.report' && command.payload.report.code !== '').length
  for (const stop of [1, 2]) {
    asked = 0
    const operationId = await desk.act(id, 'stop')
    expect(desk.vm(id)?.report).toMatchObject({ phase: 'running', code: 'HYPERVISOR_REFUSED', message: expect.stringContaining('is forced when its time is over: not now, for the 1. time') })
    await desk.pass(60_000)
    expect(asked).toBeGreaterThan(3)
    expect(desk.stateOf(operationId)).toBe('done')
    expect(desk.vm(id)?.report).toMatchObject({ phase: 'stopped', code: '', message: '' })
    expect([logged(), reports()]).toEqual([stop, stop])
    expect(desk.stateOf(await desk.act(id, 'start'))).toBe('done')
  }
  await desk.cancel(id, await desk.act(id, 'stop'))
  await desk.pass(1_000)
  expect(desk.vm(id)).toMatchObject({ spec: { runState: 'running' }, report: { phase: 'running', code: '', message: '' } })
})

test('a guest that obeys a stop that was cancelled comes back; one that powers itself off stays off', async () => {
  const desk = new Desk()
  await desk.start()
  desk.machine.faults.shutdownMs = 2_000
  const id = await desk.make('web', { runState: 'running' })
  const operationId = await desk.act(id, 'stop', { passMs: 500 })
  await desk.cancel(id, operationId)
  await desk.pass(10_000)
  expect(desk.vm(id)).toMatchObject({ spec: { runState: 'running' }, report: { phase: 'running' } })
  desk.machine.guestPowerOff(id)
  await desk.pass(1_000)
  expect(desk.vm(id)).toMatchObject({ spec: { runState: 'stopped' }, cause: { actor: 'guest' } })
})

test('a guest that crashes again and again is started again at growing intervals', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { runState: 'running' })
  const bootsBefore = desk.machine.boots
  desk.machine.crash(id)
  await desk.pass(500)
  expect(desk.machine.boots - bootsBefore).toBe(1)
  for (let elapsedMs = 0; elapsedMs < 60_000; elapsedMs += 100) {
    desk.machine.crash(id)
    await desk.pass(100)
  }
  expect(desk.machine.boots - bootsBefore).toBeLessThan(10)
  expect(desk.vm(id)?.report).toMatchObject({ phase: 'failed', message: expect.stringContaining('again') })
  await desk.pass(60_000)
  expect(desk.vm(id)?.report.phase).toBe('running')
})

test('a change that needs a restart stays one through a pause and a new life of the daemon', async () => {
  const desk = new Desk()
  await desk.start()
  const id = await desk.make('web', { runState: 'running' })
  desk.world.run('vm.patch', { id, seed: '00', patch: { spec: { cpus: 2 } } })
  await desk.act(id, 'pause')
  await desk.act(id, 'resume')
  expect(desk.vm(id)?.report.restartNeeded).toBe(true)
  const seen = desk.proposed.filter((command) => command.type === 'vm.report').map((command) => command.payload.report.restartNeeded)
  expect(seen.slice(seen.indexOf(true))).not.toContain(false)
  await desk.act(id, 'restart')
  expect(desk.vm(id)?.report.restartNeeded).toBe(false)
})

test('nothing is done before there was a quorum once', async () => {
  const desk = new Desk()
  desk.readBarrier = noQuorum
  await desk.start()
  const id = await desk.make('web', { runState: 'running' })
  await desk.pass(600_000)
  expect(desk.machine.boots).toBe(0)
  desk.readBarrier = () => Promise.resolve(1)
  await desk.pass(5_000)
  expect(desk.vm(id)?.report.phase).toBe('running')
})
