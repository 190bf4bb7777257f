// The command `novacron lab`: a cluster of real appliances on this machine.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Option, type Command } from 'commander'
import { awaitDaemon } from './lab-cluster.ts'
import { LabError } from './lab-error.ts'
import { holdLab, letGoOfLab } from './lab-lock.ts'
import { execInHost } from './lab-exec.ts'
import { cutLab, isUp, killHost, labDirectory, startHost, takeDown } from './lab-power.ts'
import { hostsMax, labFiles, readLab, requireHost, requireLab, type LabState } from './lab-state.ts'
import { readStatus, renderStatus } from './lab-status.ts'
import { bringUp, type LabReport, type UpOptions as BringUpOptions } from './lab-up.ts'

type LabOptions = { readonly dir: string; readonly json?: boolean }
type UpOptions = LabOptions & { readonly nodes?: string; readonly join?: string; readonly foreground?: boolean }

/** Adds `lab` and its verbs to the program. */
export function registerLab(program: Command): void {
  const lab = program.command('lab').description('A cluster of real appliances on this machine, each in a network namespace with its own libvirtd')
  lab.addHelpText('after', '\nExample:\n  novacron lab up --dir .lab --nodes 3\n  novacron lab kill node1 --dir .lab')
  registerUp(lab)
  registerPower(lab)
  registerLinks(lab)
  verb(lab, 'status', 'Show what is on and what answers').action(
    guarded(async (options: LabOptions) => {
      const status = await readStatus(requireLab(labDirectory(options.dir)))
      say(options.json === true ? JSON.stringify(status) : renderStatus(status))
    }),
  )
  verb(lab, 'exec <name> <command...>', 'Run a command inside a host, as `lab exec node1 -- virsh list`')
    .action(
      guarded(async (name: string, command: readonly string[], options: LabOptions) => {
        process.exitCode = await execInHost(requireLab(labDirectory(options.dir)), name, command)
      }),
    )
}

function registerUp(lab: Command): void {
  verb(lab, 'up', 'Bring the lab up, or what of it is down; ends with one line of JSON')
    .option('--nodes <count>', 'number of hosts (3 in a new lab)')
    .option('--join <count>', 'how many of the hosts form the cluster; the others run in none, to be admitted (all)')
    .option('--foreground', 'stay until Ctrl-C, then take the lab down')
    .addHelpText('after', '\nExample:\n  novacron lab up --dir .lab --nodes 3\n  novacron lab up --dir .lab --nodes 4 --join 3')
    .action(
      guarded(async (options: UpOptions) => {
        const dir = labDirectory(options.dir)
        const nodes = options.nodes === undefined ? undefined : parseNodes('--nodes', options.nodes)
        const joined = options.join === undefined ? undefined : parseNodes('--join', options.join)
        if (options.foreground !== true) return say(JSON.stringify(await bringUp(dir, { nodes, joined, progress })))
        await holdForeground(dir, { nodes, joined }, options.json === true)
      }),
    )
  verb(lab, 'down', 'Take the lab off this machine; its data stays, so that `up` resumes')
    .option('--purge', 'delete the directory too')
    .action(
      guarded(async (options: LabOptions & { readonly purge?: boolean }) => {
        const dir = labDirectory(options.dir)
        await takeDown(dir, { purge: options.purge === true })
        if (options.json === true) say(JSON.stringify({ dir, purged: options.purge === true }))
        else progress(options.purge === true ? `${dir} is down and deleted` : `${dir} is down`)
      }),
    )
}

function registerPower(lab: Command): void {
  verb(lab, 'kill <name>', 'Cut a host\'s power: SIGKILL of daemon, libvirtd, QEMU and everything else in it').action(
    guarded(async (name: string, options: LabOptions) => {
      const dir = labDirectory(options.dir)
      await killHost(dir, name)
      await tell(requireLab(dir), options, `${name} is off`)
    }),
  )
  verb(lab, 'start <name>', 'Power a host on and wait until its daemon answers').action(
    guarded(async (name: string, options: LabOptions) => {
      const deadlineMs = performance.now() + 60_000
      const state = await startHost(labDirectory(options.dir), name)
      await awaitDaemon(state, requireHost(state, name), { progress, remainingMs: () => Math.max(0, deadlineMs - performance.now()) })
      await tell(state, options, `${name} is on`)
    }),
  )
}

function registerLinks(lab: Command): void {
  verb(lab, 'partition <groups>', 'Cut the traffic between groups of hosts, as `node1,node2|node3`').action(
    guarded(async (groups: string, options: LabOptions) => {
      const state = await cutLab(labDirectory(options.dir), groups)
      await tell(state, options, `cut: ${state.partition.map((group) => group.join(',')).join(' | ')}`)
    }),
  )
  verb(lab, 'heal', 'Mend every cut').action(
    guarded(async (options: LabOptions) => {
      await tell(await cutLab(labDirectory(options.dir), undefined), options, 'healed')
    }),
  )
}

function verb(lab: Command, name: string, description: string): Command {
  return lab
    .command(name)
    .description(description)
    .addOption(new Option('--dir <dir>', 'directory of the lab').default('.lab'))
    .option('--json', 'one JSON document on standard output')
}

// Ctrl-C takes the lab down, also while it is still coming up; so does somebody else's `lab down`, as then nothing is left to hold.
async function holdForeground(dir: string, size: Pick<BringUpOptions, 'nodes' | 'joined'>, json: boolean): Promise<void> {
  mkdirSync(dir, { recursive: true })
  const holder = holdLab(dir)
  if (holder !== null) {
    const labReport = await bringUp(dir, { ...size, progress })
    say(json ? JSON.stringify(labReport) : renderWelcome(labReport))
    return progress(`the lab belongs to process ${holder}, which goes on; this command ends here`)
  }
  const interrupted = new AbortController()
  const onSignal = (): void => interrupted.abort()
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  try {
    const labReport = await bringUp(dir, { ...size, progress, signal: interrupted.signal })
    say(json ? JSON.stringify(labReport) : renderWelcome(labReport))
    while (!interrupted.signal.aborted && isStillUp(dir)) await delay(1000, undefined, { signal: interrupted.signal }).catch(() => {})
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
  } finally {
    if (interrupted.signal.aborted) {
      progress('taking the lab down')
      await takeDown(dir, { purge: false })
    }
    letGoOfLab(dir)
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

function isStillUp(dir: string): boolean {
  const state = readLab(dir)
  return state !== undefined && isUp(state)
}

/** What people read after `make up`. */
export function renderWelcome(lab: LabReport): string {
  const password = existsSync(labFiles(lab.dir).password) ? readFileSync(labFiles(lab.dir).password, 'utf8').trim() : '(see the first start)'
  const [first] = lab.nodes
  return `
NovaCron runs on ${lab.nodes.length} hosts. Open any of them in a browser:

${lab.nodes.map((node) => `  ${node.name}  ${node.url}/`).join('\n')}

  user      admin
  password  ${password}    (kept in ${labFiles(lab.dir).password})

The certificate is signed by the cluster's own authority: ${lab.caFile}
From a shell:  export NOVACRON_URL=${first?.url ?? ''} NOVACRON_CA=${lab.caFile} NOVACRON_TOKEN=$(cat ${labFiles(lab.dir).token})
               ./novacron vm create web --image tiny --start --wait

Ctrl-C takes the lab down; its data stays in ${lab.dir}.
`
}

async function tell(state: LabState, options: LabOptions, text: string): Promise<void> {
  if (options.json === true) say(JSON.stringify(await readStatus(state)))
  else progress(text)
}

function parseNodes(option: string, text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > hostsMax) throw new LabError('usage', `${option} takes 1 to ${hostsMax}, not '${text}'`)
  return count
}

function guarded<Arguments extends readonly unknown[]>(action: (...args: Arguments) => Promise<void>): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args)
    } catch (error) {
      if (!(error instanceof LabError)) throw error
      process.stderr.write(`novacron lab: ${error.message}\n`)
      process.exitCode = error.exitCode
    }
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function progress(text: string): void {
  process.stderr.write(`lab: ${text}\n`)
}
