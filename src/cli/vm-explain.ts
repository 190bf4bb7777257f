// `novacron vm explain`: the reasons of a VM's state as lines.
import type { Command } from 'commander'
import { listAt, nouns, pathOf } from './nouns.ts'
import { escapeText, textAt, valueAt } from './output.ts'
import { withExample, withJson, type Shell } from './shell.ts'

export function registerExplain(vm: Command, shell: Shell): void {
  const explain = vm.command('explain <name>').description('Why a VM is as it is: what caused it, why there, what it waits for, what to do')
    .action(async (name: string) => {
      const explanation = await shell.client().get(`${pathOf(nouns.vm, name)}/explain`)
      shell.answer(explanation, () => `${explanationLines(explanation).join('\n')}\n`)
    })
  withExample(withJson(explain), 'novacron vm explain web')
}

function explanationLines(explanation: unknown): readonly string[] {
  const lines = [escapeText(textAt(explanation, 'summary'))]
  for (const reason of listAt(explanation, 'reasons')) {
    const [since, actor, operationId, remedy] = [textAt(reason, 'since'), textAt(reason, 'cause', 'actor'), textAt(reason, 'cause', 'operationId'), textAt(reason, 'remedy')]
    lines.push(`  ${textAt(reason, 'topic').padEnd(10)} ${escapeText(textAt(reason, 'text'))}${since === '' ? '' : ` (${escapeText(since)})`}`)
    if (actor !== '') lines.push(`             by ${escapeText(actor)}, command ${escapeText(textAt(reason, 'cause', 'commandId'))}${operationId === '' ? '' : `, operation ${escapeText(operationId)}, step ${escapeText(textAt(reason, 'cause', 'step'))}`}`)
    if (remedy !== '') lines.push(`             → ${escapeText(remedy)}`)
  }
  return [...lines, ...listAt(explanation, 'placement', 'considered').map((each) => `  ${valueAt(each, 'fits') === true ? 'fits' : 'no  '}       ${escapeText(textAt(each, 'node'))}: ${escapeText(textAt(each, 'reason'))}`)]
}
