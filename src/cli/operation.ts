// `novacron operation`: what was asked to be done, how far it is, and taking it back.
import type { Command } from 'commander'
import { awaitOperation, operationResult, waitSeconds } from './await-end.ts'
import { nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { textAt } from './output.ts'
import { actOnEach, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.operation
const exampleId = noun.hints.ref

export function registerOperation(program: Command, shell: Shell): void {
  const operation = program.command('operation').description('What was asked to be done, and how far it is')
  registerList(operation, noun, shell)
  registerShow(operation, noun, shell)
  const cancel = operation.command('cancel <ids...>').description('Cancel operations: what they began is undone')
    .option('--wait', 'wait until they have ended')
    .option('--no-wait', 'do not wait')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (ids: readonly string[], options: { readonly wait?: boolean; readonly dryRun?: true }) => {
      await actOnEach(shell, ids, async (id) => {
        const wait = options.wait !== false
        const { body } = await shell.client().write({ method: 'POST', path: `${pathOf(noun, id)}/cancel`, dryRun: options.dryRun === true, waitSeconds: wait ? waitSeconds : 0 })
        if (isDryRun(body)) return dryRunResult(`cancel ${id}`, body)
        // To be cancelled is what was wanted here; that it was done or had failed before is told by the state.
        const ended = wait ? await awaitOperation(shell, body, id) : body
        return { value: ended, line: `${id}: ${textAt(ended, 'status', 'state')}` }
      })
    })
  withExample(withJson(cancel), `novacron operation cancel ${exampleId}`)
  const wait = operation.command('wait <ids...>').description('Wait until operations have ended; 1 where one failed').action(async (ids: readonly string[]) => {
    await actOnEach(shell, ids, async (id) => {
      const begun = await shell.client().get(pathOf(noun, id))
      return await operationResult(shell, id, textAt(begun, 'spec', 'operation'), begun, true)
    })
  })
  withExample(withJson(wait), `novacron operation wait ${exampleId}`)
}
