// The command line: one tree of commands, from which help and completion are made too, and how a run of it ends.
import { Command, CommanderError } from 'commander'
import { version } from '../version.ts'
import { registerCluster, registerDoctor } from './cluster.ts'
import { registerImage } from './image.ts'
import { registerCompletion } from './completion.ts'
import { registerAudit } from './audit.ts'
import { registerEvent } from './event.ts'
import { usageFailure, type Failure, type Io } from './io.ts'
import { registerLab } from './lab/register-lab.ts'
import { registerLogin } from './login.ts'
import { registerMigration } from './migration.ts'
import { registerNode } from './node.ts'
import { registerOperation } from './operation.ts'
import { Shell, withExample, withJson } from './shell.ts'
import { registerProject } from './project.ts'
import { registerRole } from './role.ts'
import { registerSession } from './session.ts'
import { registerSupportBundle } from './support-bundle.ts'
import { registerToken } from './token.ts'
import { registerUser } from './user.ts'
import { registerVm } from './vm.ts'

/**
 * Runs one command.
 * @param argv without interpreter and script
 * @returns the exit code: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict or refused, 6 unreachable or no quorum
 */
export async function runCli(argv: string[], io: Io): Promise<number> {
  const lab = argv[0] === 'lab'
  const shell = new Shell(io, !lab && wantsJson(argv))
  // Whoever reads a pipe may stop reading it, as `head` does; that may come to light after the end of the run too.
  const onStreamError = (error: Error) => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error
    shell.abandon()
  }
  for (const stream of [io.stdout, io.stderr]) stream.on('error', onStreamError)
  try {
    await createProgram(shell).parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) shell.fail(error)
    else if (error.exitCode !== 0) shell.fail(usageOf(error))
  } finally {
    shell.close()
  }
  return lab && typeof process.exitCode === 'number' ? Math.max(process.exitCode, shell.exitCode) : shell.exitCode
}

/** The whole tree of commands. */
export function createProgram(shell: Shell): Command {
  const program = new Command('novacron')
    .description('A cluster of virtualization appliances. Whom it talks to: NOVACRON_URL, NOVACRON_TOKEN, NOVACRON_CA, or a profile made by "novacron login".')
    .version(version, '-V, --version')
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({ writeOut: (text) => void shell.io.stdout.write(text), writeErr: (text) => void shell.io.stderr.write(text), outputError: () => undefined })
  withExample(program, 'novacron vm create web --image tiny --start', 'novacron vm list --filter phase:running', 'novacron vm console web')
  registerVm(program, shell)
  registerNode(program, shell)
  registerImage(program, shell)
  registerOperation(program, shell)
  registerMigration(program, shell)
  registerEvent(program, shell)
  registerAudit(program, shell)
  registerUser(program, shell)
  registerRole(program, shell)
  registerProject(program, shell)
  registerSession(program, shell)
  registerToken(program, shell)
  registerCluster(program, shell)
  registerDoctor(program, shell)
  registerSupportBundle(program, shell)
  registerLogin(program, shell)
  registerCompletion(program, shell)
  registerLab(program)
  program.command('daemon').description("Run this host's node (systemd does it)").helpOption(false).action(() => {
    throw usageFailure('"daemon" is the first word: novacron daemon [--config FILE].')
  })
  const versionCommand = program.command('version').description('Show the version').action(() => shell.answer({ version }, () => `${version}\n`))
  withExample(withJson(versionCommand), 'novacron version')
  return program
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json')
}

/** Help that nobody asked for is printed by commander itself: the noun came without a verb. */
function usageOf(error: CommanderError): Failure {
  if (error.code === 'commander.help') return usageFailure('A verb is missing: the help shows those there are.')
  return usageFailure(`${error.message.replace(/^error: /, '').replaceAll('\n', ' ')}. --help shows how it goes.`)
}
