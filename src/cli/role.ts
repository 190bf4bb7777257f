// `novacron role`: who may act as what, where.
import type { Command } from 'commander'
import { usageFailure } from './io.ts'
import { nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, textAt } from './output.ts'
import { actOnEach, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.role
const roleNames = ['administrator', 'operator', 'viewer']

export function registerRole(program: Command, shell: Shell): void {
  const role = program.command('role').description('Who may act as what, in the cluster or in a project')
  registerList(role, noun, shell)
  registerShow(role, noun, shell)
  const grant = role.command('grant <user> <role>').description('Grant a role: administrator, operator or viewer')
    .option('--project <name>', 'in this project only; else in the whole cluster')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (user: string, name: string, options: { readonly project?: string; readonly dryRun?: true }) => {
      if (!roleNames.includes(name)) throw usageFailure(`A role is ${roleNames.join(', ')}, not '${name}'.`)
      const spec = { subject: { kind: 'user', name: user }, role: name, scope: options.project === undefined ? 'cluster' : `project:${options.project}` }
      const { body } = await shell.client().write({ method: 'POST', path: noun.path, body: { spec }, dryRun: options.dryRun === true })
      const shown = isDryRun(body) ? dryRunResult(`grant ${user} ${name}`, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} granted` }
      shell.answer(shown.value, () => `${shown.line}\n`)
    })
  withExample(withJson(grant), 'novacron role grant anna operator --project shop')
  const revoke = role.command('revoke <names...>').description('Revoke roles, by the names or ids that "role list" shows; the last administrator stays')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly dryRun?: true }) => {
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'DELETE', path: pathOf(noun, name), dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`revoke ${name}`, body) : { value: { name, revoked: true }, line: `${escapeText(name)} revoked` }
      })
    })
  withExample(withJson(revoke), 'novacron role revoke anna-operator-project-shop')
}
