// `novacron node remove|rename|discovered|admit|status`: who is a host of the cluster, and what this host is itself.
import type { Command } from 'commander'
import { askControl, withSocket, type SocketOptions } from './control-client.ts'
import { exitCodes, Failure } from './io.ts'
import { listAt, nouns, pathOf } from './nouns.ts'
import { escapeText, renderDetails, renderTable, textAt, valueAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.node
const discoveredPath = `${noun.path}/discovered`
/** Joining waits until the appliance has caught up. */
const admitSeconds = 90

export function registerNodeMembership(node: Command, shell: Shell): void {
  registerRemove(node, shell)
  registerRename(node, shell)
  registerDiscovered(node, shell)
  registerAdmit(node, shell)
  const status = withSocket(node.command('status').description("Show this host's daemon by its control socket: its name, its cluster or none, the fingerprint to compare before it is admitted"))
    .action(async (options: SocketOptions) => {
      const answer = await askControl(options.socket, 'GET', '/status')
      shell.answer(answer, () => renderDetails(answer))
      if (typeof valueAt(answer, 'halted') === 'string') shell.endWith(exitCodes.failed)
    })
  withExample(withJson(status), 'novacron node status')
}

type RemoveOptions = { readonly yes?: true; readonly force?: true; readonly dryRun?: true }

function registerRemove(node: Command, shell: Shell): void {
  const remove = node.command('remove <names...>').alias('rm').description('Take nodes out of the cluster, also dead ones; they are refused from then on')
    .option('--yes', 'do not ask; with --force it says that the host is off')
    .option('--force', 'also with VMs on it, when its host is off for good: they stay known, without an owner')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: RemoveOptions) => {
      const which = names.join(', ')
      const question = options.force === true
        ? `Is the host of ${which} off, and will it stay off? Its VMs lose their owner and may be started elsewhere. Remove ${which}?`
        : `Remove ${which} from the cluster?`
      await confirmLoss(shell, question, options.yes === true || options.dryRun === true)
      await actOnEach(shell, names, async (name) => {
        const { body, status } = await shell.client().write({
          method: 'DELETE', path: pathOf(noun, name), dryRun: options.dryRun === true, ...(options.force === true ? { body: { force: true, hostIsOff: true } } : {}),
        })
        if (isDryRun(body)) return dryRunResult(`remove ${name}`, body)
        return status === 204 ? { value: { name, removed: true }, line: `${escapeText(name)} removed` } : { value: body, line: `${escapeText(name)} is leaving` }
      })
    })
  withExample(withJson(remove), 'novacron node remove node3 --yes', 'novacron node remove node3 --force')
}

function registerRename(node: Command, shell: Shell): void {
  const rename = node.command('rename <name> <new>').description('Give a node another name; its certificate follows')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, renamed: string, options: { readonly dryRun?: true }) => {
      const { body } = await shell.client().write({ method: 'PATCH', path: pathOf(noun, name), body: { name: renamed }, dryRun: options.dryRun === true })
      const shown = isDryRun(body) ? dryRunResult(`rename ${name}`, body) : { value: body, line: `${escapeText(name)} is called ${escapeText(textAt(body, 'name'))} now` }
      shell.answer(shown.value, () => `${shown.line}\n`)
    })
  withExample(withJson(rename), 'novacron node rename node3 berlin')
}

function registerDiscovered(node: Command, shell: Shell): void {
  const discovered = node.command('discovered').description('List appliances on the local network that are in no cluster').action(async () => {
    const answer = await shell.client().get(discoveredPath)
    const items = listAt(answer, 'items')
    shell.answer(answer, () => {
      if (items.length === 0) return 'No appliance that is in no cluster is heard of on the local network.\n'
      const cellsOf = (item: unknown) => ['name', 'address', 'version', 'fingerprint'].map((field) => ({ text: textAt(item, field) }))
      return renderTable(['NAME', 'ADDRESS', 'VERSION', 'FINGERPRINT'], items.map(cellsOf), shell.colours)
    })
  })
  withExample(withJson(discovered), 'novacron node discovered')
}

type AdmitOptions = { readonly yes?: true; readonly dryRun?: true }

function registerAdmit(node: Command, shell: Shell): void {
  const admit = node.command('admit <appliance>').description('Admit a discovered appliance, by its name or fingerprint')
    .option('--yes', 'do not ask whether the fingerprint was compared')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (wanted: string, options: AdmitOptions) => {
      const items = listAt(await shell.client().get(discoveredPath), 'items')
      const found = items.filter((item) => textAt(item, 'name') === wanted || textAt(item, 'fingerprint') === wanted.replaceAll(/[\s:]/g, '').toLowerCase())
      const [appliance] = found
      if (appliance === undefined) throw new Failure(exitCodes.notFound, 'NOT_FOUND', `No appliance ${wanted} is heard of on the local network.`)
      if (found.length > 1) throw new Failure(exitCodes.conflict, 'STATE_CONFLICT', `${found.length} appliances are called ${wanted}: name one by its fingerprint.`)
      const fingerprint = textAt(appliance, 'fingerprint')
      await confirmLoss(shell, `Does ${textAt(appliance, 'name')} at ${textAt(appliance, 'address')} itself show the fingerprint ${fingerprint}?`, options.yes === true || options.dryRun === true)
      shell.progress(`admitting ${textAt(appliance, 'name')}`)
      const { body } = await shell.client().write({ method: 'POST', path: `${discoveredPath}/${fingerprint}/admit`, waitSeconds: admitSeconds, dryRun: options.dryRun === true })
      const shown = isDryRun(body) ? dryRunResult(`admit ${wanted}`, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} is a member` }
      shell.answer(shown.value, () => `${shown.line}\n`)
    })
  withExample(withJson(admit), 'novacron node admit node4')
}
