// `novacron session`: who is signed in where, and ending that.
import type { Command } from 'commander'
import { nouns, pathOf, registerList } from './nouns.ts'
import { escapeText } from './output.ts'
import { actOnEach, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.session

export function registerSession(program: Command, shell: Shell): void {
  const session = program.command('session').description('Signed-in sessions: your own; everybody\'s for an administrator')
  registerList(session, noun, shell)
  const revoke = session.command('revoke <ids...>').description('End sessions, on every node')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (ids: readonly string[], options: { readonly dryRun?: true }) => {
      await actOnEach(shell, ids, async (id) => {
        const { body } = await shell.client().write({ method: 'DELETE', path: pathOf(noun, id), dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`revoke ${id}`, body) : { value: { id, revoked: true }, line: `${escapeText(id)} ended` }
      })
    })
  withExample(withJson(revoke), `novacron session revoke ${noun.hints.ref}`)
}
