// `novacron user`: who may sign in.
import type { Command } from 'commander'
import { collectBinding, type Binding } from './binding.ts'
import { askControl, withSocket, type SocketOptions } from './control-client.ts'
import { usageFailure } from './io.ts'
import { collectLabel, nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, textAt, valueAt } from './output.ts'
import { askNewPassword, askPassword, readInputLines } from './prompt.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.user

export function registerUser(program: Command, shell: Shell): void {
  const user = program.command('user').description('Who may sign in')
  registerList(user, noun, shell)
  registerShow(user, noun, shell)
  registerCreate(user, shell)
  registerSet(user, shell)
  registerPassword(user, shell)
  registerReset(user, shell)
  const remove = user.command('delete <names...>').alias('rm').description('Delete users with their tokens and sessions')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly yes?: true; readonly dryRun?: true }) => {
      await confirmLoss(shell, `Delete ${names.length === 1 ? 'user' : 'users'} ${names.join(', ')}?`, options.yes === true || options.dryRun === true)
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'DELETE', path: pathOf(noun, name), dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`delete ${name}`, body) : { value: { name, deleted: true }, line: `${escapeText(name)} deleted` }
      })
    })
  withExample(withJson(remove), 'novacron user delete anna --yes')
  const signOut = user.command('sign-out <names...>').description('Sign users out everywhere; their API tokens go on')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly dryRun?: true }) => {
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'POST', path: `${pathOf(noun, name)}/sign-out`, dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`sign out ${name}`, body) : { value: { name, signedOut: true }, line: `${escapeText(name)} is signed out everywhere` }
      })
    })
  withExample(withJson(signOut), 'novacron user sign-out anna')
}

type CreateOptions = { readonly role?: readonly Binding[]; readonly displayName?: string; readonly passwordStdin?: true; readonly dryRun?: true }

function registerCreate(user: Command, shell: Shell): void {
  const create = user.command('create <name>').description('Create a user; asks for the password')
    .option('--role <role[@project]>', 'administrator, operator or viewer; of the whole cluster unless a project is named; may be given again (administrator)', collectBinding)
    .option('--display-name <text>', 'what people read')
    .option('--password-stdin', 'read the password from standard input')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, options: CreateOptions) => {
      const password = options.passwordStdin === true ? firstOf(await readInputLines(shell)) : await askNewPassword(shell)
      const spec = { ...(options.role === undefined ? {} : { bindings: options.role }), ...(options.displayName === undefined ? {} : { displayName: options.displayName }) }
      const { body } = await shell.client().write({ method: 'POST', path: noun.path, body: { name, spec, password }, dryRun: options.dryRun === true })
      const shown = isDryRun(body) ? dryRunResult(`create ${name}`, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} created` }
      shell.answer(shown.value, () => `${shown.line}\n`)
    })
  withExample(withJson(create), 'novacron user create anna --role operator', 'novacron user create ci --role viewer@default --password-stdin < password.txt')
}

type SetOptions = { readonly displayName?: string; readonly disable?: true; readonly enable?: true; readonly role?: readonly Binding[]; readonly label?: Readonly<Record<string, string | null>>; readonly dryRun?: true }

function registerSet(user: Command, shell: Shell): void {
  const set = user.command('set <name>').description('Change a user: disabled ones cannot sign in, and their tokens open nothing')
    .option('--display-name <text>', 'what people read')
    .option('--disable', 'shut out')
    .option('--enable', 'let in again')
    .option('--role <role[@project]>', 'these roles in place of all others; may be given again', collectBinding)
    .option('--label <key=value>', 'a label; key- takes it away; may be given again', collectLabel)
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, options: SetOptions) => {
      if (options.disable === true && options.enable === true) throw usageFailure('--disable and --enable exclude each other.')
      const spec = {
        ...(options.displayName === undefined ? {} : { displayName: options.displayName }),
        ...(options.disable === true ? { disabled: true } : options.enable === true ? { disabled: false } : {}),
        ...(options.role === undefined ? {} : { bindings: options.role }),
      }
      if (Object.keys(spec).length === 0 && options.label === undefined) throw usageFailure('Nothing to change was given.')
      const { body } = await shell.client().write({ method: 'PATCH', path: pathOf(noun, name), body: { spec, ...(options.label === undefined ? {} : { labels: options.label }) }, dryRun: options.dryRun === true })
      const shown = isDryRun(body) ? dryRunResult(`change ${name}`, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} changed` }
      shell.answer(shown.value, () => `${shown.line}\n`)
    })
  withExample(withJson(set), 'novacron user set anna --disable', 'novacron user set anna --role operator --role viewer@shop')
}

function registerPassword(user: Command, shell: Shell): void {
  const password = user.command('password <name>').description("Set a user's password; one's own needs the current one too")
    .option('--password-stdin', "read the new password from standard input; one's own current one from its second line")
    .action(async (name: string, options: { readonly passwordStdin?: true }) => {
      const session = await shell.client().get('/api/v1/session')
      const own = [valueAt(session, 'user', 'name'), valueAt(session, 'user', 'id')].includes(name)
      const { fresh, current } = options.passwordStdin === true ? fromLines(await readInputLines(shell)) : { current: own ? await askPassword(shell, 'Current password:') : undefined, fresh: await askNewPassword(shell) }
      if (own && current === undefined) throw usageFailure("One's own password needs the current one: the second line of standard input.")
      const { body } = await shell.client().write({ method: 'POST', path: `${pathOf(noun, name)}/password`, body: { password: fresh, ...(own ? { current } : {}) } })
      shell.answer(body, () => `password of ${escapeText(textAt(body, 'name'))} set\n`)
    })
  withExample(withJson(password), 'novacron user password anna')
}

function registerReset(user: Command, shell: Shell): void {
  const reset = withSocket(user.command('reset-password <name>').description('As root on a node: give a user a new password, shown this once'))
    .option('--yes', 'do not ask')
    .action(async (name: string, options: SocketOptions & { readonly yes?: true }) => {
      await confirmLoss(shell, `Give ${name} a new password? The old one is of no use then.`, options.yes === true)
      const answer = await askControl(options.socket, 'POST', '/reset-password', { name })
      shell.answer(answer, () => `${textAt(answer, 'password')}\n`)
    })
  withExample(withJson(reset), 'novacron user reset-password admin --yes')
}

function fromLines(lines: readonly string[]): { readonly fresh: string; readonly current: string | undefined } {
  return { fresh: firstOf(lines), current: lines[1] }
}

function firstOf(lines: readonly string[]): string {
  const [first] = lines
  if (first === undefined || first === '') throw usageFailure('Standard input holds no password.')
  return first
}
