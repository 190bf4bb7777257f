// `novacron node`: the hosts of the cluster.
import type { Command } from 'commander'
import { Option } from 'commander'
import { usageFailure } from './io.ts'
import { registerDrain } from './migration.ts'
import { collectLabel, nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { registerNodeMembership } from './node-membership.ts'
import { escapeText, textAt } from './output.ts'
import { actOnEach, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'
import { registerTop } from './top.ts'

const noun = nouns.node
type SetOptions = { readonly schedulable?: 'true' | 'false'; readonly label?: Readonly<Record<string, string | null>>; readonly dryRun?: true }

export function registerNode(program: Command, shell: Shell): void {
  const node = program.command('node').description('Hosts that are members of the cluster')
  registerList(node, noun, shell)
  registerShow(node, noun, shell)
  registerTop(node, 'node', shell)
  registerNodeMembership(node, shell)
  registerDrain(node, shell)
  const set = node.command('set <names...>').description('Change nodes')
    .addOption(new Option('--schedulable <boolean>', 'false keeps new VMs away').choices(['true', 'false']))
    .option('--label <key=value>', 'a label; key- takes it away; may be given again', collectLabel)
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: SetOptions) => {
      const patch = {
        ...(options.label === undefined ? {} : { labels: options.label }),
        ...(options.schedulable === undefined ? {} : { spec: { schedulable: options.schedulable === 'true' } }),
      }
      if (Object.keys(patch).length === 0) throw usageFailure('Say what to set: --schedulable or --label.')
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'PATCH', path: pathOf(noun, name), body: patch, dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`set ${name}`, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} changed` }
      })
    })
  withExample(withJson(set), 'novacron node set node2 --schedulable false', 'novacron node set node2 --label rack=b3')
}
