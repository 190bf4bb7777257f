// `novacron vm`: virtual machines.
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { InvalidArgumentError, Option } from 'commander'
import type { VmAction } from '../model/vm.ts'
import { awaitVm, operationResult, waitSeconds } from './await-end.ts'
import { registerMigrate } from './migration.ts'
import { exitCodes, usageFailure } from './io.ts'
import { collectLabel, integerBetween, nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, textAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun, type Result } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'
import { registerTop } from './top.ts'
import { registerExplain } from './vm-explain.ts'
import { registerRecover } from './vm-recover.ts'

const noun = nouns.vm

export function registerVm(program: Command, shell: Shell): void {
  const vm = program.command('vm').description('Virtual machines')
  registerCreate(vm, shell)
  registerList(vm, noun, shell)
  registerShow(vm, noun, shell)
  registerTop(vm, 'vm', shell)
  for (const action of actions) registerAction(vm, action, shell)
  registerSet(vm, shell)
  registerRename(vm, shell)
  registerDelete(vm, shell)
  registerMigrate(vm, shell)
  registerExplain(vm, shell)
  registerRecover(vm, shell)
  registerConsole(vm, shell)
}

type CreateOptions = {
  readonly project?: string
  readonly strategy?: string
  readonly apart?: readonly string[]
  readonly image?: string
  readonly cpus: number
  readonly memory: number
  readonly disk?: number
  readonly node?: string
  readonly label?: Readonly<Record<string, string | null>>
  readonly nic?: readonly string[]
  readonly userData?: string
  readonly firmware?: string
  readonly start?: true
  readonly wait?: boolean
  readonly dryRun?: true
}

function registerCreate(vm: Command, shell: Shell): void {
  const create = vm.command('create <name>').description('Create a VM')
    .option('--project <name>', 'the project it belongs to (default); elsewhere it is called PROJECT.NAME')
    .option('--image <image>', 'what its disk "root" begins as')
    .option('--cpus <n>', 'virtual CPUs', integerBetween(1, 512), 1)
    .option('--memory <MiB>', 'memory in MiB', integerBetween(16, 16 * 1024 * 1024), 512)
    .option('--disk <GiB>', "size of its disk in GiB; with --image at least the image's, which is the default", positive)
    .option('--node <node>', 'the node to run on; else the first that fits')
    .addOption(new Option('--strategy <how>', 'spread: where most memory is free; pack: where least is that suffices').choices(['spread', 'pack']))
    .option('--apart <key=value[!]>', 'not on a node with a VM of this label, if possible; with ! in no case; may be given again', collectText)
    .option('--label <key=value>', 'a label; may be given again', collectLabel)
    .option('--nic <network>', 'a network card on this network, again for more; none for none (nat)', collectText)
    .option('--user-data <file>', 'cloud-init user data')
    .addOption(new Option('--firmware <kind>', 'bios or uefi').choices(['bios', 'uefi']))
    .option('--start', 'start it')
    .action(async (name: string, options: CreateOptions) => {
      const wait = options.wait ?? options.start === true
      const { body } = await shell.client().write({ method: 'POST', path: noun.path, body: { name, ...bodyOf(options) }, dryRun: options.dryRun === true, waitSeconds: wait ? waitSeconds : 0 })
      await actOnEach(shell, [name], async () => {
        if (isDryRun(body)) return dryRunResult(`create ${name}`, body)
        return createdResult(wait ? await awaitVm(shell, body) : body)
      })
    })
  withWrite(create)
  withExample(withJson(create), 'novacron vm create web --image tiny --start', 'novacron vm create db --image tiny --cpus 2 --memory 1024 --disk 10 --node node2 --label tier=db')
}

function createdResult(vm: unknown): Result {
  const phase = textAt(vm, 'status', 'phase')
  const node = textAt(vm, 'status', 'node')
  const message = textAt(vm, 'status', 'message')
  const line = `${escapeText(textAt(vm, 'name'))} created: ${escapeText(phase)}${node === '' ? '' : ` on ${escapeText(node)}`}${message === '' ? '' : `: ${escapeText(message)}`}`
  return { value: vm, line, exitCode: phase === 'failed' ? exitCodes.failed : exitCodes.done }
}

function bodyOf(options: CreateOptions): Readonly<Record<string, unknown>> {
  const { image, disk, nic = ['nat'], label, userData, firmware } = options
  if (Object.values(label ?? {}).includes(null)) throw usageFailure('A new VM has no label that could be taken away.')
  if (nic.length > 1 && nic.includes('none')) throw usageFailure('--nic none goes with no other --nic.')
  const root = { name: 'root', ...(image === undefined ? {} : { image }), ...(disk === undefined ? {} : { sizeGiB: disk }) }
  return {
    ...(label === undefined ? {} : { labels: label }),
    ...(options.project === undefined ? {} : { project: options.project }),
    spec: {
      cpus: options.cpus,
      memoryMiB: options.memory,
      ...(firmware === undefined ? {} : { firmware }),
      disks: image === undefined && disk === undefined ? [] : [root],
      nics: nic.filter((network) => network !== 'none').map((network) => ({ network })),
      ...(userData === undefined ? {} : { cloudInit: { userData: readText(userData) } }),
      ...placementOf(options),
      runState: options.start === true ? 'running' : 'stopped',
    },
  }
}

function placementOf({ node, strategy, apart }: CreateOptions): { readonly placement?: object } {
  if (node === undefined && strategy === undefined && apart === undefined) return {}
  const antiAffinity = apart?.map((text) => (text.endsWith('!') ? { label: text.slice(0, -1), required: true } : { label: text }))
  return { placement: { ...(node === undefined ? {} : { node }), ...(strategy === undefined ? {} : { strategy }), ...(antiAffinity === undefined ? {} : { antiAffinity }) } }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw usageFailure(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
}

type Action = { readonly name: VmAction; readonly description: string; readonly stops: boolean }
const actions: readonly Action[] = [
  { name: 'start', description: 'Start VMs', stops: false },
  { name: 'stop', description: 'Stop VMs: the guest powers off, or is forced after a time-out', stops: true },
  { name: 'restart', description: 'Stop and start VMs', stops: true },
  { name: 'pause', description: "Stop the VMs' CPUs; their memory stays", stops: false },
  { name: 'resume', description: 'Let paused VMs go on', stops: false },
  { name: 'reset', description: 'Reset VMs as by their button', stops: false },
]

type ActionOptions = { readonly force?: true; readonly timeout?: number; readonly wait?: boolean; readonly dryRun?: true }

function registerAction(vm: Command, action: Action, shell: Shell): void {
  const command = vm.command(`${action.name} <names...>`).description(action.description)
  if (action.stops) {
    command
      .option('--force', 'cut the power at once')
      .option('--timeout <seconds>', "how long the guest may take (the VM's own)", integerBetween(1, 3600))
  }
  command.action(async (names: readonly string[], options: ActionOptions) => {
    const wait = options.wait !== false
    await actOnEach(shell, names, async (name) => {
      const { body } = await shell.client().write({
        method: 'POST', path: `${pathOf(noun, name)}/${action.name}`, waitSeconds: wait ? waitSeconds : 0, dryRun: options.dryRun === true,
        body: { ...(options.force === true ? { force: true } : {}), ...(options.timeout === undefined ? {} : { timeoutSeconds: options.timeout }) },
      })
      return await operationResult(shell, name, action.name, body, wait)
    })
  })
  withWrite(command)
  withExample(withJson(command), action.stops ? `novacron vm ${action.name} web --timeout 30` : `novacron vm ${action.name} web db`)
}

function registerDelete(vm: Command, shell: Shell): void {
  const remove = vm.command('delete <names...>').alias('rm').description('Delete VMs with their disks')
    .option('--yes', 'do not ask')
    .option('--force', 'cut the power first')
    .action(async (names: readonly string[], options: ActionOptions & { readonly yes?: true }) => {
      const wait = options.wait !== false
      await confirmLoss(shell, `Delete ${names.join(', ')} with ${names.length === 1 ? 'its' : 'their'} disks?`, options.yes === true || options.dryRun === true)
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({
          method: 'DELETE', path: pathOf(noun, name), waitSeconds: wait ? waitSeconds : 0, dryRun: options.dryRun === true, ...(options.force === true ? { body: { force: true } } : {}),
        })
        return await operationResult(shell, name, 'delete', body, wait)
      })
    })
  withWrite(remove)
  withExample(withJson(remove), 'novacron vm delete web --yes --force')
}

type SetOptions = { readonly label?: Readonly<Record<string, string | null>>; readonly cpus?: number; readonly memory?: number; readonly dryRun?: true }

function registerSet(vm: Command, shell: Shell): void {
  const set = vm.command('set <name>').description('Change a VM: a running one takes CPUs and memory at its next start')
    .option('--label <key=value>', 'a label; key- takes it away; may be given again', collectLabel)
    .option('--cpus <n>', 'virtual CPUs', integerBetween(1, 512))
    .option('--memory <MiB>', 'memory in MiB', integerBetween(16, 16 * 1024 * 1024))
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, options: SetOptions) => {
      const spec = { ...(options.cpus === undefined ? {} : { cpus: options.cpus }), ...(options.memory === undefined ? {} : { memoryMiB: options.memory }) }
      const patch = { ...(options.label === undefined ? {} : { labels: options.label }), ...(Object.keys(spec).length === 0 ? {} : { spec }) }
      if (Object.keys(patch).length === 0) throw usageFailure('Say what to set: --label, --cpus or --memory.')
      await patchVm(shell, name, patch, options.dryRun === true)
    })
  withExample(withJson(set), 'novacron vm set web --label tier=front --label old-', 'novacron vm set web --cpus 2 --memory 1024')
}

function registerRename(vm: Command, shell: Shell): void {
  const rename = vm.command('rename <name> <new>').description('Give a VM another name')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, renamed: string, options: { readonly dryRun?: true }) => patchVm(shell, name, { name: renamed }, options.dryRun === true))
  withExample(withJson(rename), 'novacron vm rename web shop')
}

async function patchVm(shell: Shell, name: string, patch: unknown, dryRun: boolean): Promise<void> {
  await actOnEach(shell, [name], async () => {
    const { body } = await shell.client().write({ method: 'PATCH', path: pathOf(noun, name), body: patch, dryRun })
    return isDryRun(body) ? dryRunResult(`set ${name}`, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} changed` }
  })
}

function registerConsole(vm: Command, shell: Shell): void {
  const command = vm.command('console <name>').description("A VM's serial console; Ctrl-] leaves it").action(async (name: string) => {
    const { openConsole } = await import('./console.ts')
    await openConsole(shell, pathOf(noun, name))
  })
  withExample(command, 'novacron vm console web')
  const screen = vm
    .command('screen <name>')
    .description("A VM's screen for a VNC viewer on this machine; Ctrl-C ends it")
    .option('--port <number>', 'port on 127.0.0.1 (default: a free one)', portNumber)
    .action(async (name: string, options: { readonly port?: number }) => {
      const { serveScreen } = await import('./screen.ts')
      await serveScreen(shell, pathOf(noun, name), options.port ?? 0)
    })
  withExample(withJson(screen), 'novacron vm screen web --port 5900')
}

function withWrite(command: Command): Command {
  return command
    .option('--wait', 'wait until it has happened')
    .option('--no-wait', 'do not wait')
    .option('--dry-run', 'change nothing; show what would change')
}

function collectText(text: string, former: readonly string[] = []): readonly string[] {
  return [...former, text]
}

function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (port >= 0 && port <= 65_535) return port
  throw new InvalidArgumentError('It takes a port number.')
}

function positive(text: string): number {
  const value = /^\d{1,9}(?:\.\d{1,6})?$/.test(text) ? Number(text) : 0
  if (value > 0) return value
  throw new InvalidArgumentError('It takes a number of GiB above 0.')
}
