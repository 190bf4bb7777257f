// The host probe reads /proc as the kernel writes it, and the real one gives sane numbers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { LinuxProbe } from '../../../../src/drivers/host/probe.ts'

const storage = async (): Promise<{ usedBytes: number; totalBytes: number }> => ({ usedBytes: 5, totalBytes: 10 })

it('tells CPU use between two calls, memory, storage and uptime', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-proc-'))
  const probe = new LinuxProbe({ procDirectory: directory, storage })
  const write = (stat: string): void => writeFileSync(join(directory, 'stat'), stat)
  writeFileSync(join(directory, 'meminfo'), 'MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     400 kB\n')
  writeFileSync(join(directory, 'uptime'), '1234.56 2000.00\n')
  try {
    write('cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 10 0 10 70 10 0 0 0 0 0\nintr 5\n')
    expect(await probe.load()).toMatchObject({
      cpuRatio: 0.2, memoryUsedBytes: 600 * 1024, memoryTotalBytes: 1000 * 1024, storageUsedBytes: 5, storageTotalBytes: 10, uptimeSeconds: 1234,
    })
    write('cpu  60 0 10 120 10 0 0 0 5 0\n')
    expect((await probe.load()).cpuRatio).toBe(0.5)
    write('cpu  60 0 10 120 10 0 0 0 5 0\n')
    expect((await probe.load()).cpuRatio).toBe(0)
  } finally {
    probe.stop()
    rmSync(directory, { recursive: true })
  }
})

it('notices a stalled event loop', async () => {
  const probe = new LinuxProbe({ storage })
  try {
    await new Promise((resolve) => setTimeout(resolve, 120))
    const calm = await probe.load()
    expect(calm.memoryTotalBytes).toBeGreaterThan(calm.memoryUsedBytes)
    await new Promise((resolve) => setTimeout(resolve, 120))
    const until = performance.now() + 400
    while (performance.now() < until) continue
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect((await probe.load()).loopDelayMs).toBeGreaterThan(200)
  } finally {
    probe.stop()
  }
})
