// The accelerator probe: its guest code really runs, and a host where it does not run is told from one where it does.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { probeAccelerator, runsGuest } from '../../../../src/drivers/libvirt/accelerator.ts'

it('its guest code runs under TCG, so it can tell where it does not run', async () => {
  expect(await runsGuest('tcg', 'qemu-system-x86_64', 15_000)).toBe(true)
})

it('a QEMU that ends without the guest having run is no proof', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'novacron-fake-'))
  try {
    for (const [name, line] of [['quits', 'exit 0'], ['fails', 'exit 1'], ['hangs', 'exec sleep 60']] as const) {
      writeFileSync(join(directory, name), `#!/bin/sh\n${line}\n`)
      chmodSync(join(directory, name), 0o755)
      expect(await runsGuest('kvm', join(directory, name), 200)).toBe(false)
    }
    expect(await runsGuest('kvm', join(directory, 'absent'), 200)).toBe(false)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

it('is TCG at once without a device', async () => {
  expect(await probeAccelerator({ device: '/dev/null/kvm' })).toBe('tcg')
})

it('answers within three seconds on this machine, whatever its KVM is like', async () => {
  const before = performance.now()
  expect(['kvm', 'tcg']).toContain(await probeAccelerator())
  expect(performance.now() - before).toBeLessThan(4_000)
})
