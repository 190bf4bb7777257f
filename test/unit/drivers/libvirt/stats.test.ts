// Typed parameters of libvirt's statistics as our fields.
import { expect, test } from 'vitest'
import { statsOf } from '../../../../src/drivers/libvirt/stats.ts'

test('nanoseconds, KiB and devices become seconds, bytes and devices', () => {
  const params = new Map<string, number | bigint | string>([
    ['cpu.time', 12_500_000_000n], ['balloon.rss', 2048n], ['balloon.current', 4096n],
    ['block.count', 2], ['block.0.name', 'vda'], ['block.0.rd.bytes', 10n], ['block.0.wr.bytes', 20n], ['block.0.rd.reqs', 1n], ['block.0.wr.reqs', 2n], ['block.1.name', 'sda'],
    ['net.count', 1], ['net.0.name', 'vnet3'], ['net.0.rx.bytes', 5n], ['net.0.tx.bytes', 6n], ['net.0.rx.drop', 7n],
  ])
  expect(statsOf({ id: 'x', params })).toEqual({
    id: 'x', cpuSeconds: 12.5, memoryResidentBytes: 2 ** 21, memoryBalloonBytes: 2 ** 22,
    disks: [{ name: 'vda', readBytes: 10, writtenBytes: 20, reads: 1, writes: 2 }, { name: 'sda', readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 }],
    nics: [{ name: 'vnet3', receiveBytes: 5, receivePackets: 0, receiveErrors: 0, receiveDrops: 7, transmitBytes: 6, transmitPackets: 0, transmitErrors: 0, transmitDrops: 0 }],
  })
})

test('devices that libvirt counts but does not name are left out, and a wild count is bounded', () => {
  const { disks, nics } = statsOf({ id: 'x', params: new Map<string, number>([['block.count', 3], ['net.count', 4_000_000_000]]) })
  expect([disks, nics]).toEqual([[], []])
})
