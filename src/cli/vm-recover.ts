// `novacron vm recover`: a VM of a dead host begins anew elsewhere.
import type { Command } from 'commander'
import { awaitVm, waitSeconds } from './await-end.ts'
import { usageFailure } from './io.ts'
import { nouns, pathOf } from './nouns.ts'
import { escapeText, textAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

type RecoverOptions = { readonly node?: string; readonly hostIsOff?: true; readonly loseDisks?: true; readonly yes?: true; readonly wait?: boolean; readonly dryRun?: true }

export function registerRecover(vm: Command, shell: Shell): void {
  const recover = vm.command('recover <names...>').description('Begin VMs of a dead host anew elsewhere, from their images: what their disks held stays behind')
    .option('--host-is-off', 'you have made sure that the host is off and stays off: else the VM may run twice')
    .option('--node <node>', 'where to; else the best that fits')
    .option('--lose-disks', 'disks that were made of no image may begin empty')
    .option('--yes', 'do not ask')
    .option('--no-wait', 'do not wait until it runs')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: RecoverOptions) => {
      if (options.hostIsOff !== true) throw usageFailure('Make sure that the host is off and stays off, then say --host-is-off: nothing else keeps the VM from running twice.')
      await confirmLoss(shell, `Begin ${names.join(', ')} anew from ${names.length === 1 ? 'its image' : 'their images'}? What the disks on the dead host held stays there.`, options.yes === true || options.dryRun === true)
      await actOnEach(shell, names, async (name) => {
        const body = { hostIsOff: true, ...(options.node === undefined ? {} : { node: options.node }), ...(options.loseDisks === true ? { loseDisks: true } : {}) }
        const wait = options.wait !== false
        const answer = await shell.client().write({ method: 'POST', path: `${pathOf(nouns.vm, name)}/recover`, body, dryRun: options.dryRun === true, waitSeconds: wait ? waitSeconds : 0 })
        if (isDryRun(answer.body)) return dryRunResult(`recover ${name}`, answer.body)
        const recovered = wait ? await awaitVm(shell, answer.body) : answer.body
        return { value: recovered, line: `${escapeText(name)}: ${escapeText(textAt(recovered, 'status', 'phase'))} on ${escapeText(textAt(recovered, 'status', 'node'))}` }
      })
    })
  withExample(withJson(recover), 'novacron vm recover web --host-is-off --yes', 'novacron vm recover db --host-is-off --node node2 --lose-disks --yes')
}
