// Style and layering as checks: each rule is also run on a planted violation that it must find.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }

const root = join(import.meta.dirname, '..')

/** Tier by tier, downward only (docs/architecture.md holds the same table for people). */
const rooms: Readonly<Record<string, readonly string[]>> = {
  'src/model': ['zod'],
  'src/ports': ['src/model', 'src/raft'],
  'src/raft': [],
  'src/state': ['src/model', 'src/ports', 'zod'],
  'src/planner': ['src/model', 'src/ports', 'src/raft', 'src/state'],
  'src/formats': ['src/model', 'src/ports', 'fast-xml-parser'],
  'src/cluster': ['src/model', 'src/ports', 'src/raft', 'src/state', 'zod', 'node:'],
  'src/gossip': ['src/model', 'src/ports', 'zod'],
  'src/controllers': ['src/model', 'src/ports', 'src/state', 'src/planner'],
  'src/operations': ['src/model', 'src/ports', 'src/state', 'src/planner', 'zod'],
  'src/app': ['src/model', 'src/ports', 'src/state', 'src/planner', 'zod'],
  'src/db': ['src/model', 'src/ports', 'src/raft', 'level', 'zod', 'node:'],
  'src/p2p': ['src/model', 'src/ports', 'src/raft', 'libp2p', '@libp2p/', '@multiformats/', 'multicast-dns', 'zod', 'node:'],
  'src/drivers': ['src/model', 'src/ports', 'src/raft', 'src/formats', 'zod', 'jose', '@peculiar/x509', 'reflect-metadata', 'node:'],
  'src/http': ['src/model', 'src/app', 'src/ports', 'ui/views', 'hono', '@hono/node-server', 'prom-client', 'ws', 'zod', 'node:'],
  'src/cli': ['src/model', 'src/version.ts', 'commander', 'ws', 'zod', 'node:'],
  'ui/views': ['src/model', 'hono/html', 'hono/utils/html'],
}
/** Wiring: everything. */
const isRoot = (path: string) => /^src\/[^/]+\.ts$/.test(path)
const pureRooms = ['src/model', 'src/ports', 'src/raft', 'src/state', 'src/planner', 'src/formats']
const linesMax = 500

type Source = { readonly path: string; readonly text: string }

function sources(directory: string): readonly Source[] {
  return readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }))
}

const code = [...sources('src'), ...sources('ui/views')]
const tests = sources('test')

function importsOf(source: Source): readonly string[] {
  const found = source.text.matchAll(/^(?:import|export)[^'"]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gms)
  return [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

function roomOf(path: string): string | undefined {
  return Object.keys(rooms).find((room) => path.startsWith(`${room}/`))
}

function layeringFault(source: Source): string | null {
  if (isRoot(source.path)) return null
  const room = roomOf(source.path)
  if (room === undefined) return `${source.path} is in no room`
  for (const target of importsOf(source)) {
    const place = target.startsWith('.') ? relative(root, join(root, source.path, '..', target)) : target
    if (place.startsWith(`${room}/`)) continue
    const allowed = (rooms[room] ?? []).some((each) => (each.startsWith('src/') || each.startsWith('ui/') ? place === each || place.startsWith(`${each}/`) : place === each || place.startsWith(each.endsWith('/') || each.endsWith(':') ? each : `${each}/`)))
    if (!allowed) return `${source.path} may not import ${target}`
  }
  return null
}

/** A driver's folder knows no other driver's; they meet in the root. */
function driverFault(source: Source): string | null {
  const folder = /^src\/drivers\/([^/]+)\//.exec(source.path)?.[1]
  if (folder === undefined || folder === 'sim') return null
  for (const target of importsOf(source)) {
    const other = /^src\/drivers\/([^/]+)\//.exec(relative(root, join(root, source.path, '..', target)))?.[1]
    if (target.startsWith('.') && other !== undefined && other !== folder) return `${source.path} may not import the driver ${other}`
  }
  return null
}

const impure = /\b(?:Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|queueMicrotask|process\.|console\.|performance\.|crypto\.|async |await |new Promise|fetch\()/

function purityFault(source: Source): string | null {
  if (!pureRooms.some((room) => source.path.startsWith(`${room}/`))) return null
  const bare = source.text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/gm, '')
  const found = impure.exec(bare)
  return found === null ? null : `${source.path} uses ${found[0]} in a pure room`
}

function shapeFault(source: Source): string | null {
  const lines = source.text.split('\n')
  if (lines.length > linesMax + 1) return `${source.path} has ${lines.length} lines`
  if (!lines[0]?.startsWith('// ')) return `${source.path} does not open with what it is for`
  if (/(?:^|\/)(?:utils?|helpers?|common|shared|misc|index)(?:\.ts|\/)/.test(source.path)) return `${source.path} has a name that says nothing`
  if (/[A-Z_]/.test(source.path.replace(/\.test\.ts$/, ''))) return `${source.path} is not in kebab-case`
  if (/^export default/m.test(source.text) && !source.path.endsWith('.config.ts')) return `${source.path} has a default export`
  if (/^export (?:\*|\{[^}]*\}) from/m.test(source.text)) return `${source.path} re-exports`
  return null
}

function testFault(source: Source): string | null {
  if (source.path === 'test/tidy.test.ts') return null
  if (/\bvi\.mock\(|\.(?:skip|only|todo)\(/.test(source.text.replaceAll(/'(?:[^'\\\n]|\\.)*'/g, ''))) return `${source.path} mocks, skips or singles out`
  return null
}

/** ui.md §8: nothing in an attribute that has to be evaluated. */
function viewFault(source: Source): string | null {
  if (!source.path.startsWith('ui/views/')) return null
  const found = /hx-on|\bjs:|hx-live|hx-boost|\son[a-z]+="|<script(?![^>]*src=)|\sstyle="/.exec(source.text)
  return found === null ? null : `${source.path} holds ${found[0].trim()}, which the CSP forbids`
}

function faults(files: readonly Source[], rule: (source: Source) => string | null): readonly string[] {
  return files.map(rule).filter((fault) => fault !== null)
}

const rules = [
  { name: 'layering', files: code, rule: layeringFault, planted: { path: 'src/raft/planted.ts', text: "// Planted.\nimport { z } from 'zod'\n" } },
  { name: 'layering between engines', files: code, rule: layeringFault, planted: { path: 'src/app/planted.ts', text: "// Planted.\nimport type { Cluster } from '../cluster/cluster.ts'\n" } },
  { name: 'drivers apart', files: code, rule: driverFault, planted: { path: 'src/drivers/storage/planted.ts', text: "// Planted.\nimport { seal } from '../crypto/sealing.ts'\n" } },
  { name: 'purity', files: code, rule: purityFault, planted: { path: 'src/state/planted.ts', text: '// Planted.\nexport const now = Date.now()\n' } },
  { name: 'shape', files: [...code, ...tests], rule: shapeFault, planted: { path: 'src/app/utils.ts', text: '// Planted.\n' } },
  { name: 'tests', files: tests, rule: testFault, planted: { path: 'test/unit/planted.test.ts', text: '// Planted.\ntest.skip("x", () => {})\n' } },
  { name: 'views', files: code, rule: viewFault, planted: { path: 'ui/views/planted.ts', text: '// Planted.\nconst a = `<p style="x">`\n' } },
] as const

describe.each(rules)('$name', ({ files, rule, planted }) => {
  test('holds everywhere', () => expect(faults(files, rule)).toEqual([]))
  test('finds a planted violation', () => expect(rule(planted)).not.toBeNull())
})

test('every dependency is pinned exactly and used in one place', () => {
  const versions = Object.values({ ...packageJson.dependencies, ...packageJson.devDependencies })
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).toEqual([])
})

test('no path of one machine is in the tree', () => {
  const machine = /\/w[o]rk\/|\/f[a]rm\/|\/tmp\/bash[_]jobs/
  expect([...code, ...tests].filter((source) => machine.test(source.text)).map((source) => source.path)).toEqual([])
})
