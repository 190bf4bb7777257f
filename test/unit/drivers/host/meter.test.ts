// What a host uses, read from a /proc of our own making.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { LinuxMeter } from '../../../../src/drivers/host/meter.ts'

const directory = mkdtempSync(join(tmpdir(), 'nc-meter-'))
afterAll(() => rmSync(directory, { recursive: true }))

const files = {
  stat: 'cpu  100 20 30 400 50 6 7 8 9 10\ncpu0 50 10 15 200 25 3 3 4 4 5\ncpu1 50 10 15 200 25 3 4 4 5 5\nintr 1\n',
  meminfo: 'MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     600 kB\n',
  loadavg: '1.25 1.0 0.5 2/300 12\n', uptime: '3600.7 100.0\n',
  'net/dev': 'Inter-|\n face |\n    lo: 1000 1 0 0 0 0 0 0 1000 1 0 0 0 0 0 0\n  eth0: 200 2 0 0 0 0 0 0 300 3 0 0 0 0 0 0\nenp3s0:7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n vnet0: 50 1 0 0 0 0 0 0 60 1 0 0 0 0 0 0\nvirbr0: 50 1 0 0 0 0 0 0 60 1 0 0 0 0 0 0\n',
  diskstats: '   8       0 sda 10 0 100 5 20 0 200 9 0 0 0\n   8       1 sda1 10 0 100 5 20 0 200 9 0 0 0\n 253       0 dm-0 10 0 100 5 20 0 200 9 0 0 0\n 259       0 nvme0n1 1 0 8 0 2 0 16 0 0 0 0\n   7       0 loop0 1 0 8 0 2 0 16 0 0 0 0\n',
} as const

test('CPU, memory, cards and whole disks; bridges, partitions and loops are not counted twice', async () => {
  mkdirSync(join(directory, 'net'))
  mkdirSync(join(directory, 'state'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  writeFileSync(join(directory, 'state', '000001.ldb'), Buffer.alloc(1234))
  const meter = new LinuxMeter({ storage: async () => ({ usedBytes: 3, totalBytes: 4 }), stateDirectory: join(directory, 'state'), procDirectory: directory })
  const figures = await meter.read()
  meter.stop()
  expect(figures).toMatchObject({
    cpus: 2, cpuSeconds: 6.21, cpuBusySeconds: 1.71, memoryTotalBytes: 1000 * 1024, memoryUsedBytes: 400 * 1024, storageUsedBytes: 3, storageTotalBytes: 4,
    receiveBytes: 207, transmitBytes: 309, reads: 11, readBytes: 108 * 512, writes: 22, writtenBytes: 216 * 512, load1: 1.25, uptimeSeconds: 3600, stateBytes: 1234,
  })
  expect(figures.processResidentBytes).toBeGreaterThan(1e6)
  expect(figures.processCpuSeconds).toBeGreaterThan(0)
})

test('12: a stall of the event loop shows in the figures of its period, and not in the next', async () => {
  const meter = new LinuxMeter({ storage: async () => ({ usedBytes: 3, totalBytes: 4 }), stateDirectory: join(directory, 'state'), procDirectory: directory })
  const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  await pass(300)
  const until = performance.now() + 700
  while (performance.now() < until);
  await pass(300)
  expect((await meter.read()).loopDelayP99Seconds).toBeGreaterThan(0.4)
  await pass(300)
  const calm = await meter.read()
  meter.stop()
  expect(calm.loopDelayP99Seconds).toBeLessThan(0.4)
})
