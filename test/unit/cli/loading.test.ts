// A command must start quickly: what it loads, by following its imports, holds nothing of the daemon's and no parser.
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')

/** Files and packages that a module loads before it runs, itself included; `import()` is for later and not followed. */
function loadedBy(file: string, found: Set<string> = new Set()): ReadonlySet<string> {
  if (found.has(file)) return found
  found.add(file)
  const source = readFileSync(file, 'utf8')
  for (const [, clause = '', target = ''] of source.matchAll(/^import (?!type )(?:([^'"]+?) from )?'([^']+)'/gm)) {
    const onlyTypes = /^\{.*\}$/s.test(clause) && clause.slice(1, -1).split(',').every((name) => /^\s*type /.test(name))
    if (onlyTypes) continue
    if (!target.startsWith('.')) found.add(target)
    else if (target.endsWith('.ts')) loadedBy(join(dirname(file), target), found)
  }
  return found
}

test('a client loads commander and what comes with Node, and no room but its own and the words', () => {
  const loaded = [...loadedBy(join(root, 'src/main.ts')), ...loadedBy(join(root, 'src/cli/program.ts'))]
  const packages = loaded.filter((each) => !each.startsWith('/') && !each.startsWith('node:'))
  expect([...new Set(packages)]).toEqual(['commander'])
  const rooms = loaded.filter((each) => each.startsWith('/')).map((each) => relative(root, each))
  expect(rooms.filter((each) => !/^src\/(?:main\.ts|version\.ts|cli\/|model\/)/.test(each))).toEqual([])
  expect(rooms.length).toBeGreaterThan(20)
})

test('the follower of imports finds what is loaded indirectly', () => {
  expect([...loadedBy(join(root, 'src/daemon.ts'))]).toContain('zod')
})
