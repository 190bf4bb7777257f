// Words, figures and pictures of the views.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { vmPhases } from '../../../src/model/vm.ts'
import { age, bytes, clock, count, duration, many, mebibytes, moment, percent } from '../../../ui/views/figures.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { cellsSentence, fullness, partsBar, quorumRing, quorumSentence, vmCells } from '../../../ui/views/picture.ts'
import { vmStateWords } from '../../../ui/views/state.ts'
import { listUrl } from '../../../ui/views/table.ts'
import { vmActionRefusal } from '../../../ui/views/vm.ts'
import { vmPath } from '../../../ui/views/vm-words.ts'
import { readAsset } from './pages.ts'
import { makeNode, makeVm, nowMs } from './stand-in.ts'

const frame = { asset: (name: string) => `/assets/${name}`, nowMs, timeZone: 'Europe/Berlin', cluster: { node: 'n2' } } as unknown as Frame

describe('figures', () => {
  test('sizes by 1024 with three digits', () => {
    expect(bytes(0)).toBe('0\u00a0B')
    expect(bytes(26.6 * 2 ** 30)).toBe('26.6\u00a0GiB')
    expect(bytes(1023 * 2 ** 20)).toBe('1,023\u00a0MiB')
    expect(mebibytes(512)).toBe('512\u00a0MiB')
    expect(mebibytes(1536)).toBe('1.5\u00a0GiB')
    expect(count(8_412_907)).toBe('8,412,907')
    expect(many(1, 'VM')).toBe('1\u00a0VM')
    expect(many(3, 'VM')).toBe('3\u00a0VMs')
    expect(percent(0.634)).toBe('63\u00a0%')
  })

  test('times', () => {
    expect(duration(1400)).toBe('1.4\u00a0s')
    expect(duration(190_000)).toBe('3\u00a0min 10\u00a0s')
    expect(duration(-5)).toBe('0\u00a0s')
    expect(duration(5 * 3_600_000)).toBe('5\u00a0h')
    expect(age(frame, new Date(nowMs - 33 * 60_000).toISOString())).toBe('33\u00a0min')
    expect(age(frame, 'nonsense')).toBe('–')
    expect(clock(frame, nowMs)).toBe('14:32:06')
    expect(moment(frame, nowMs)).toBe('20 November 2026, 14:32:06 CET')
    expect(clock(frame, 'nonsense')).toBe('–')
  })
})

describe('states', () => {
  test('each phase has a word and a shape of its own tone', () => {
    for (const phase of vmPhases) expect(vmStateWords[phase].word).not.toBe('')
    expect(vmStateWords.starting.tone).toBe('go')
    expect(vmStateWords.failed.icon).toBe('s-failed')
  })

  test('icons that are used are drawn', () => {
    const sprite = readAsset('icons.svg').toString()
    const drawn = new Set([...sprite.matchAll(/<symbol id="([^"]*)"/g)].map((match) => match[1]))
    for (const { icon } of Object.values(vmStateWords)) expect(drawn).toContain(icon)
  })

  test('an action is refused with its reason where it makes no sense', () => {
    expect(vmActionRefusal(makeVm(1, 'running'), 'start')).toContain('is running')
    expect(vmActionRefusal(makeVm(1, 'running'), 'stop')).toBeNull()
    expect(vmActionRefusal(makeVm(1, 'stopped'), 'stop')).toContain('is stopped')
    expect(vmActionRefusal(makeVm(1, 'stopped'), 'start')).toBeNull()
    expect(vmActionRefusal(makeVm(1, 'paused'), 'resume')).toBeNull()
    expect(vmActionRefusal(makeVm(1, 'deleting'), 'start')).toContain('deleted')
  })
})

describe('pictures', () => {
  test('fullness warns over 85 and is critical over 95 per cent', () => {
    expect([0.85, 0.86, 0.95, 0.96].map(fullness)).toEqual(['a', 'w', 'w', 'x'])
  })

  test('parts of a bar never exceed the whole', async () => {
    const bar = String(await partsBar([{ fill: 'a', ratio: 0.7 }, { fill: 'x', ratio: 0.7 }], 'too much'))
    expect(bar).toContain('x="70" width="30"')
  })

  test('the ring says who leads, votes and is lost', async () => {
    const nodes = [makeNode(1), makeNode(2), makeNode(3, { ready: false })]
    expect(quorumSentence(nodes)).toBe('n1 leads; n2 votes; n3 cannot be reached')
    const ring = String(await quorumRing(frame, nodes))
    expect(ring).toContain('disc lead')
    expect(ring).toContain('disc gone')
    for (const size of [0, 1, 2, 3, 4, 7, 12, 32]) expect(String(await quorumRing(frame, Array.from({ length: size }, (_, at) => makeNode(at + 1))))).not.toContain('NaN')
  })

  test('cells have a sentence, also for none', async () => {
    expect(cellsSentence(['running', 'running', 'stopped'], 'n1')).toBe('3 VMs on n1: 2 running, 1 stopped')
    expect(cellsSentence([], 'n1')).toBe('No VMs on n1')
    expect(String(await vmCells([...vmPhases], 'n1'))).not.toContain('undefined')
  })
})

describe('paths', () => {
  test('a VM called like a page has its page by id', () => {
    expect(vmPath({ id: 'i', name: 'web', project: 'default' })).toBe('/vms/web')
    expect(vmPath({ id: 'i', name: 'new', project: 'default' })).toBe('/vms/i')
    expect(vmPath({ id: 'i', name: 'web', project: 'other' })).toBe('/vms/i')
  })

  test('defaults stay out of a list\'s URL', () => {
    const list = { path: '/vms', q: '', sort: 'name', after: '', limit: 25 }
    const defaults = { sort: 'name', limit: 25 }
    expect(listUrl(list, {}, defaults)).toBe('/vms')
    expect(listUrl(list, { q: 'a b', sort: '-name', after: 'x', limit: 50 }, defaults)).toBe('/vms?q=a+b&sort=-name&limit=50&after=x')
  })
})

describe('assets of others', () => {
  const versions = JSON.parse(readAsset('VERSIONS.json').toString()) as { file: string; name: string; version: string; from: string; sha256: string; licence: string }[]
  test.each(versions)('$file is that of $name $version', ({ file, name, version, from, sha256, licence }) => {
    const root = new URL(`../../../node_modules/${name}/`, import.meta.url)
    const installed = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string }
    const pinned = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { dependencies: Record<string, string> }
    expect(installed.version).toBe(version)
    expect(pinned.dependencies[name]).toBe(version)
    const hash = (content: Buffer) => createHash('sha256').update(content).digest('hex')
    expect(hash(readAsset(file))).toBe(sha256)
    expect(hash(readFileSync(new URL(from, root)))).toBe(sha256)
    expect(licence).not.toBe('')
  })
})
