// `novacron migration`, `vm migrate`, `node drain` and `node uncordon`: moving VMs between nodes, and what became of it.
import type { Command } from 'commander'
import { operationResult } from './await-end.ts'
import { usageFailure } from './io.ts'
import { integerBetween, nouns, pathOf, readPages, registerList, registerShow } from './nouns.ts'
import { escapeText, renderBytes, textAt, valueAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun, type Result } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

type WaitOptions = { readonly wait?: boolean; readonly dryRun?: true }

export function registerMigration(program: Command, shell: Shell): void {
  const migration = program.command('migration').description('Ended migrations: who moved what, and how long it took')
  registerList(migration, nouns.migration, shell)
  registerShow(migration, nouns.migration, shell)
}

export function registerMigrate(vm: Command, shell: Shell): void {
  const migrate = vm.command('migrate [name] [node]').description('Move a VM to another node, live where it runs; without a node the best is chosen')
    .option('--all-from <node>', 'instead of one: all VMs of a node, some at a time, each to where it fits best')
    .option('--bandwidth <MiB/s>', 'bound for memory and disks together', integerBetween(1, 100_000))
    .option('--force', 'also to a node that takes no new VMs')
    .option('--wait', 'wait until it has happened')
    .option('--no-wait', 'do not wait')
    .option('--dry-run', 'change nothing; show where it would go')
    .action(async (name: string | undefined, node: string | undefined, options: WaitOptions & { readonly bandwidth?: number; readonly force?: true; readonly allFrom?: string }) => {
      const wait = options.wait !== false
      const inTurn = oneByOne()
      await actOnEach(shell, await namesToMove(shell, name, options.allFrom), async (ref) => {
        const { body } = await inTurn(() => shell.client().write({
          method: 'POST', path: `${pathOf(nouns.vm, ref)}/migrate`, dryRun: options.dryRun === true,
          body: { ...(node === undefined ? {} : { node }), ...(options.bandwidth === undefined ? {} : { bandwidthMiBps: options.bandwidth }), ...(options.force === true ? { force: true } : {}) },
        }))
        return withFigures(await operationResult(shell, ref, 'migrate', body, wait))
      })
    })
  withExample(withJson(migrate), 'novacron vm migrate web node3', 'novacron vm migrate web --bandwidth 50 --no-wait', 'novacron vm migrate --all-from node1')
}

/** The one that was named, or all that a node has. */
async function namesToMove(shell: Shell, name: string | undefined, from: string | undefined): Promise<readonly string[]> {
  if (name !== undefined && from !== undefined) throw usageFailure('--all-from chooses the VMs and their targets: give no name beside it.')
  if (name !== undefined) return [name]
  if (from === undefined) throw usageFailure('Say which VM, or --all-from and a node.')
  const node = textAt(await shell.client().get(pathOf(nouns.node, from)), 'name')
  const { items } = await readPages(nouns.vm, { filter: `node:${node}`, all: true }, shell)
  return items.map((vm) => (textAt(vm, 'project') === 'default' ? textAt(vm, 'name') : `${textAt(vm, 'project')}.${textAt(vm, 'name')}`))
}

/** Begins one only after the one before was answered: each is placed with those before it counted. */
function oneByOne(): <T>(act: () => Promise<T>) => Promise<T> {
  let former: Promise<unknown> = Promise.resolve()
  return (act) => {
    const begun = former.then(act)
    former = begun.catch(() => null)
    return begun
  }
}

/** "web: migrate done, 153 MiB, 48 ms downtime". */
function withFigures(result: Result): Result {
  const bytes = valueAt(result.value, 'status', 'bytes')
  const downtime = textAt(result.value, 'status', 'downtimeMs')
  const figures = [...(typeof bytes === 'number' ? [renderBytes(bytes)] : []), ...(downtime === '' ? [] : [`${downtime} ms downtime`])]
  return figures.length === 0 || textAt(result.value, 'status', 'state') !== 'done' ? result : { ...result, line: `${result.line}, ${figures.join(', ')}` }
}

export function registerDrain(node: Command, shell: Shell): void {
  const drain = node.command('drain <name>').description('Drain a node: it takes no new VMs, and those that are there move away')
    .option('--concurrency <n>', 'how many VMs move at once (2)', integerBetween(1, 8))
    .option('--yes', 'do not ask')
    .option('--wait', 'wait until it has happened')
    .option('--no-wait', 'do not wait')
    .option('--dry-run', 'change nothing; show where each VM would go')
    .action(async (name: string, options: WaitOptions & { readonly concurrency?: number; readonly yes?: true }) => {
      const quiet = options.yes === true || options.dryRun === true || shell.io.stdin.isTTY !== true
      await confirmLoss(shell, `Move all VMs away from ${name}?`, quiet)
      await actOnEach(shell, [name], async () => {
        const { body } = await shell.client().write({
          method: 'POST', path: `${pathOf(nouns.node, name)}/drain`, dryRun: options.dryRun === true, waitSeconds: 0,
          body: options.concurrency === undefined ? {} : { concurrency: options.concurrency },
        })
        return await operationResult(shell, name, 'drain', body, options.wait !== false)
      })
    })
  withExample(withJson(drain), 'novacron node drain node1 --concurrency 2', 'novacron node drain node1 --dry-run')
  const uncordon = node.command('uncordon <names...>').description('Let nodes take VMs again; drains that run are over')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly dryRun?: true }) => {
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'POST', path: `${pathOf(nouns.node, name)}/uncordon`, dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`uncordon ${name}`, body) : { value: body, line: `${escapeText(name)} takes VMs again` }
      })
    })
  withExample(withJson(uncordon), 'novacron node uncordon node1')
}
