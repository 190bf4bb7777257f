// What the lab decides without touching the machine: cuts, subnets, names, files.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { hostsFile, nodeConfig } from '../../../src/cli/lab/host-files.ts'
import { withLabLock } from '../../../src/cli/lab/lab-lock.ts'
import { overlaps, partitionRules } from '../../../src/cli/lab/lab-network.ts'
import { parsePartition } from '../../../src/cli/lab/lab-partition.ts'
import { labId, readLab, withHosts, writeLab, writeWhole, type LabState } from '../../../src/cli/lab/lab-state.ts'

const scratch = mkdtempSync(join(tmpdir(), 'novacron-lab-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const empty: LabState = { version: 1, dir: scratch, id: 'abc123', subnet: '10.70.9', port: 8443, hosts: [], partition: [] }
const lab = withHosts(empty, 3)

describe('partition', () => {
  test('reads groups', () => {
    expect(parsePartition(lab, 'node1,node2|node3')).toEqual([['node1', 'node2'], ['node3']])
    expect(parsePartition(lab, 'node1|node2|node3')).toEqual([['node1'], ['node2'], ['node3']])
  })

  test('one group alone is cut off from all others', () => {
    expect(parsePartition(lab, 'node2')).toEqual([['node2'], ['node1', 'node3']])
  })

  test.each([
    ['node1,node9|node2', 3],
    ['node1,node1|node2', 2],
    ['node1||node2', 2],
    ['', 2],
  ])('refuses %j', (text, exitCode) => {
    expect(() => parsePartition(lab, text)).toThrow(expect.objectContaining({ exitCode }))
  })

  test('cuts pairs of different groups, both ways, and nothing else', () => {
    const rules = partitionRules({ hosts: lab.hosts, partition: [['node1', 'node2'], ['node3']] })
    const drops = rules.split('\n').filter((line) => line.includes('drop')).map((line) => line.trim())
    expect(drops).toEqual([
      'iifname "p1" oifname "p3" drop',
      'iifname "p2" oifname "p3" drop',
      'iifname "p3" oifname "p1" drop',
      'iifname "p3" oifname "p2" drop',
    ])
  })

  test('a host in no group reaches all', () => {
    expect(partitionRules({ hosts: lab.hosts, partition: [['node1'], ['node2']] })).not.toContain('"p3"')
    expect(partitionRules({ hosts: lab.hosts, partition: [] })).not.toContain('drop')
  })
})

describe('addresses', () => {
  test.each([
    ['10.70.9.0/24', true],
    ['10.70.9.11', true],
    ['10.0.0.0/8', true],
    ['10.70.8.0/23', true],
    ['10.70.10.0/24', false],
    ['192.0.2.0/24', false],
    ['10.70.9.128/25', true],
  ])('route %s overlaps 10.70.9.0/24: %s', (route, expected) => {
    expect(overlaps(route, '10.70.9')).toBe(expected)
  })

  test('hosts keep their addresses when more come', () => {
    expect(withHosts(lab, 5).hosts.slice(0, 3)).toEqual(lab.hosts)
    expect(withHosts(lab, 5).hosts[4]).toEqual({ name: 'node5', address: '10.70.9.15', index: 5 })
    expect(() => withHosts(lab, 33)).toThrow('--nodes')
    expect(() => withHosts(lab, 0)).toThrow('--nodes')
  })

  test('directories give different ids', () => {
    expect(labId('/a', 0)).not.toBe(labId('/b', 0))
    expect(labId('/a', 0)).not.toBe(labId('/a', 1))
    expect(labId('/a', 0)).toMatch(/^[0-9a-f]{6}$/)
  })
})

describe('files', () => {
  test('the state is read as it was written', () => {
    writeLab(lab)
    expect(readLab(scratch)).toEqual(lab)
    writeFileSync(join(scratch, 'lab.json'), '{"version":2}')
    expect(() => readLab(scratch)).toThrow('not a lab')
  })

  test('secrets are for their owner only, also when the file was open to all before', () => {
    const path = join(scratch, 'secret')
    writeFileSync(path, 'old', { mode: 0o644 })
    writeWhole(path, 'new', 0o600)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('a host knows all others by name, and its daemon uses libvirt as seen inside', () => {
    expect(hostsFile(lab)).toContain('10.70.9.13 node3')
    const config = nodeConfig(lab, lab.hosts[0]!)
    expect(config).toMatchObject({ name: 'node1', advertise: '10.70.9.11', accelerator: 'tcg', lab: true, libvirt: { socket: '/run/libvirt/libvirt-sock' } })
    expect(config.dataDir).toBe(join(scratch, 'node1', 'data'))
  })
})

describe('lock', () => {
  test('one command at a time; a dead holder does not block', async () => {
    const order: string[] = []
    await Promise.all(
      ['a', 'b'].map((name) =>
        withLabLock(scratch, 5000, async () => {
          order.push(`${name} in`)
          await Promise.resolve()
          order.push(`${name} out`)
        }),
      ),
    )
    expect(order).toEqual([order[0], order[0]!.replace('in', 'out'), order[2], order[2]!.replace('in', 'out')])
    // Our own process id with another start time: a number used again.
    writeFileSync(join(scratch, 'lab.lock'), `${process.pid} 1`)
    expect(await withLabLock(scratch, 1000, async () => await Promise.resolve('mine'))).toBe('mine')
  })

  test('a living holder is named after the time-out', async () => {
    await withLabLock(scratch, 1000, async () => {
      await expect(withLabLock(scratch, 60, async () => await Promise.resolve())).rejects.toThrow(`process ${process.pid}`)
    })
  })
})
