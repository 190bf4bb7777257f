// `novacron token`: API tokens, the credentials of programs.
import type { Command } from 'commander'
import type { Client } from './client.ts'
import { exitCodes, Failure } from './io.ts'
import { collectBinding, type Binding } from './binding.ts'
import { integerBetween, nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, textAt } from './output.ts'
import { actOnEach, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.token

export function registerToken(program: Command, shell: Shell): void {
  const token = program.command('token').description('API tokens: the credentials of programs')
  registerList(token, noun, shell)
  registerShow(token, noun, shell)
  const create = token.command('create <name>').description('Make an API token; its secret is shown this once')
    .option('--days <n>', 'end it after so many days', integerBetween(1, 3650))
    .option('--role <role[@project]>', 'let it do no more than this; may be given again (all that you may)', collectBinding)
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (name: string, options: { readonly days?: number; readonly role?: readonly Binding[]; readonly dryRun?: true }) => {
      const body = await createToken(shell.client(), { name, days: options.days, bindings: options.role, dryRun: options.dryRun === true })
      if (isDryRun(body)) return shell.answer(body, () => `${dryRunResult(`create ${name}`, body).line}\n`)
      shell.answer(body, () => `${textAt(body, 'secret')}\n`)
      if (!shell.json) shell.progress('It is not shown again.')
    })
  withExample(withJson(create), 'novacron token create ci --days 90', 'novacron token create backup --role viewer --role operator@shop')
  const revoke = token.command('revoke <names...>').description('Make API tokens useless, at once and everywhere')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly dryRun?: true }) => {
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'DELETE', path: pathOf(noun, name), dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`revoke ${name}`, body) : { value: { name, revoked: true }, line: `${escapeText(name)} revoked` }
      })
    })
  withExample(withJson(revoke), 'novacron token revoke ci')
}

type TokenWish = { readonly name: string; readonly days: number | undefined; readonly bindings?: readonly Binding[] | undefined; readonly dryRun: boolean; readonly headers?: Readonly<Record<string, string>> }

/** @throws Failure also where the answer that held the secret was lost: that token is then revoked */
export async function createToken(client: Client, { name, days, bindings, dryRun, headers = {} }: TokenWish): Promise<unknown> {
  const { body } = await client.write({ method: 'POST', path: noun.path, body: { name, spec: { ...(days === undefined ? {} : { expiresInDays: days }), ...(bindings === undefined ? {} : { bindings }) } }, dryRun, headers })
  if (isDryRun(body) || textAt(body, 'secret') !== '') return body
  // Asked again after an unknown outcome, the server cannot show the secret: it keeps a hash only.
  await client.write({ method: 'DELETE', path: pathOf(noun, textAt(body, 'id')), headers })
  throw new Failure(exitCodes.failed, 'FAILED', `The answer with the secret of ${name} was lost, so it was revoked. Try again.`)
}
