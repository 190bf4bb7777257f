// `novacron project`: parts of the cluster with names of their own, to which roles can be bound.
import type { Command } from 'commander'
import { usageFailure } from './io.ts'
import { collectLabel, nouns, pathOf, registerList, registerShow } from './nouns.ts'
import { escapeText, textAt } from './output.ts'
import { actOnEach, confirmLoss, dryRunResult, isDryRun } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const noun = nouns.project
type Labels = Readonly<Record<string, string | null>>
type Options = { readonly description?: string; readonly label?: Labels; readonly dryRun?: true }

export function registerProject(program: Command, shell: Shell): void {
  const project = program.command('project').description('Parts of the cluster with names of their own')
  registerList(project, noun, shell)
  registerShow(project, noun, shell)
  const create = withOptions(project.command('create <name>').description('Create a project'))
    .action(async (name: string, options: Options) => {
      const { body } = await shell.client().write({ method: 'POST', path: noun.path, body: { name, ...bodyOf(options) }, dryRun: options.dryRun === true })
      tell(shell, body, { subject: `create ${name}`, done: 'created' })
    })
  withExample(withJson(create), "novacron project create shop --description 'The web shop'")
  const set = withOptions(project.command('set <name>').description('Change description and labels'))
    .action(async (name: string, options: Options) => {
      const body = bodyOf(options)
      if (Object.keys(body).length === 0) throw usageFailure('Nothing to change was given.')
      await patch(shell, { name, body, dryRun: options.dryRun === true, done: 'changed' })
    })
  withExample(withJson(set), 'novacron project set shop --label tier=front')
  const rename = project.command('rename <name> <new>').description('Rename a project; VMs, images and roles go along')
    .option('--dry-run', 'change nothing; show what would change')
    .action((name: string, fresh: string, options: { readonly dryRun?: true }) => patch(shell, { name, body: { name: fresh }, dryRun: options.dryRun === true, done: 'renamed' }))
  withExample(withJson(rename), 'novacron project rename shop store')
  const remove = project.command('delete <names...>').alias('rm').description('Delete empty projects, with the roles in them')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (names: readonly string[], options: { readonly yes?: true; readonly dryRun?: true }) => {
      await confirmLoss(shell, `Delete ${names.length === 1 ? 'project' : 'projects'} ${names.join(', ')}?`, options.yes === true || options.dryRun === true)
      await actOnEach(shell, names, async (name) => {
        const { body } = await shell.client().write({ method: 'DELETE', path: pathOf(noun, name), dryRun: options.dryRun === true })
        return isDryRun(body) ? dryRunResult(`delete ${name}`, body) : { value: { name, deleted: true }, line: `${escapeText(name)} deleted` }
      })
    })
  withExample(withJson(remove), 'novacron project delete shop --yes')
}

function withOptions(command: Command): Command {
  return command
    .option('--description <text>', 'what it is for')
    .option('--label <key=value>', 'a label; key- takes it away; may be given again', collectLabel)
    .option('--dry-run', 'change nothing; show what would change')
}

function bodyOf(options: Options): { readonly labels?: Labels; readonly spec?: { readonly description: string } } {
  return { ...(options.label === undefined ? {} : { labels: options.label }), ...(options.description === undefined ? {} : { spec: { description: options.description } }) }
}

async function patch(shell: Shell, { name, body, dryRun, done }: { readonly name: string; readonly body: unknown; readonly dryRun: boolean; readonly done: string }): Promise<void> {
  const answer = await shell.client().write({ method: 'PATCH', path: pathOf(noun, name), body, dryRun })
  tell(shell, answer.body, { subject: `change ${name}`, done })
}

function tell(shell: Shell, body: unknown, { subject, done }: { readonly subject: string; readonly done: string }): void {
  const shown = isDryRun(body) ? dryRunResult(subject, body) : { value: body, line: `${escapeText(textAt(body, 'name'))} ${done}` }
  shell.answer(shown.value, () => `${shown.line}\n`)
}
