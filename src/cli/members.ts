// `novacron cluster status|transfer-leader|promote|demote|snapshot`: consensus as an operator sees and steers it.
import { Option, type Command } from 'commander'
import { askControl, controlSocketDefault } from './control-client.ts'
import { exitCodes } from './io.ts'
import { listAt, nouns, pathOf, integerBetween } from './nouns.ts'
import { escapeText, renderBytes, renderDetails, renderTable, styleOf, textAt, textOf, valueAt, type Cell } from './output.ts'
import { confirmLoss, dryRunResult, isDryRun, type Result } from './results.ts'
import { isServerKnown } from './settings.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const membersPath = '/api/v1/cluster/members'
const leaderPath = '/api/v1/cluster/leader'
/** A learner that is far behind gets a snapshot first. */
const voteWaitSeconds = 30

export function registerMembers(cluster: Command, shell: Shell): void {
  registerStatus(cluster, shell)
  registerTransfer(cluster, shell)
  registerVote(cluster, shell, { verb: 'promote', past: 'votes', pending: 'shall vote, and will once it has caught up', description: 'Have nodes vote in consensus, once they have caught up' })
  registerVote(cluster, shell, { verb: 'demote', past: 'votes no more', pending: 'shall not vote, and will not once another takes its place', description: 'Have nodes not vote in consensus; another takes their place first' })
  registerSnapshot(cluster, shell)
}

function registerStatus(cluster: Command, shell: Shell): void {
  const status = cluster.command('status').description("Show how the members of consensus are; 6 where no leader answers. With --socket, or where no server is known: by this host's daemon, also without a leader")
    .addOption(new Option('--socket <path>', `ask this host's daemon by its control socket (${controlSocketDefault})`))
    .action(async (options: { readonly socket?: string }) => {
      if (options.socket !== undefined || !isServerKnown(shell.io.env)) return showDaemon(shell, options.socket ?? controlSocketDefault)
      const answer = await shell.client().get(membersPath)
      const own = listAt(answer, 'members').find((member) => textAt(member, 'name') === textAt(answer, 'node'))
      // The fields by which a daemon is known are there as they are by the socket.
      const document = { clustered: true, name: textAt(answer, 'node'), nodeId: textAt(own, 'id'), halted: valueAt(own, 'halted') ?? null, ...(answer as object) }
      shell.answer(document, () => renderMembers(answer, shell.colours))
      if (valueAt(answer, 'stale') === true) shell.endWith(exitCodes.unreachable)
    })
  withExample(withJson(status), 'novacron cluster status', `novacron cluster status --socket ${controlSocketDefault}`)
}

/** Of this host's daemon, which needs no leader and no credential for it: what it is itself, and how it sees the others. */
async function showDaemon(shell: Shell, socket: string): Promise<void> {
  const daemon = await askControl(socket, 'GET', '/status')
  if (typeof valueAt(daemon, 'halted') === 'string') shell.endWith(exitCodes.failed)
  if (valueAt(daemon, 'clustered') !== true) return shell.answer(daemon, () => renderDetails(daemon))
  const view = await askControl(socket, 'GET', '/members')
  const own = listAt(view, 'members').find((member) => textAt(member, 'id') === textAt(daemon, 'nodeId'))
  const fact = (name: string) => valueAt(own, name) ?? null
  const facts = { ...(daemon as object), role: fact('role'), state: fact('state'), term: fact('term'), commitIndex: fact('commitIndex'), appliedIndex: fact('appliedIndex'), logEntries: fact('logEntries'), logBytes: fact('logBytes'), troubles: fact('troubles') }
  // The cluster's term and commit index are the leader's, where there is one.
  const document = { ...facts, ...(view as object) }
  shell.answer(document, () => `${renderDetails(facts)}\n${renderMembers(view, shell.colours)}`)
  if (valueAt(view, 'stale') === true) shell.endWith(exitCodes.unreachable)
}

function renderMembers(view: unknown, colours: boolean): string {
  const timing = (key: string) => textAt(view, 'timing', key)
  const leader = textAt(view, 'leader')
  const head = [
    `leader ${leader === '' ? 'none' : escapeText(leader)}, term ${textAt(view, 'term')}, commit ${textAt(view, 'commitIndex')}, ${textAt(view, 'votersNeeded')} of ${textAt(view, 'voters')} votes decide; as ${escapeText(textAt(view, 'node'))} sees it`,
    `heartbeat ${timing('heartbeatMs')} ms, election ${timing('electionMs')}-${Number(timing('electionMs')) * 2} ms, a silent voter is replaced after ${Number(timing('lostMs')) / 1000} s, a learner is steady after ${Number(timing('steadyMs')) / 1000} s`,
  ]
  const rows = listAt(view, 'members').map((member): readonly Cell[] => {
    const role = textAt(member, 'role')
    const voting = textAt(member, 'voting')
    const state = textAt(member, 'state')
    return [
      { text: textAt(member, 'name') }, { text: voting === 'auto' ? role : `${role} (${voting})`, style: styleOf(role) }, { text: state, style: state === 'unknown' || state === 'halted' ? 'bad' : 'plain' },
      { text: textAt(member, 'matchIndex') }, { text: textAt(member, 'matchLag') }, { text: textAt(member, 'commitLag') }, { text: textAt(member, 'applyLag') },
      { text: milliseconds(valueAt(member, 'lastContactMs')) }, { text: milliseconds(valueAt(member, 'logSyncMs')) }, { text: milliseconds(valueAt(member, 'loopDelayMs')) },
      { text: bytes(valueAt(member, 'logBytes')) }, { text: textAt(member, 'version') },
    ]
  })
  const table = renderTable(['NODE', 'ROLE', 'STATE', 'MATCH', 'LAG', 'COMMIT LAG', 'APPLY LAG', 'CONTACT', 'DISK', 'LOOP', 'LOG', 'VERSION'], rows, colours)
  const notes = listAt(view, 'notes').map((note) => `! ${escapeText(textOf(note))}\n`)
  return `${head.join('\n')}\n\n${table}${notes.length === 0 ? '' : `\n${notes.join('')}`}`
}

function milliseconds(value: unknown): string {
  return typeof value === 'number' ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : ''
}

function bytes(value: unknown): string {
  return typeof value === 'number' ? renderBytes(value) : ''
}

function registerTransfer(cluster: Command, shell: Shell): void {
  const transfer = cluster.command('transfer-leader [node]').description('Hand leadership to a voter, by default the one that is furthest; waits until it leads')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (node: string | undefined, options: { readonly dryRun?: true }) => {
      const { body } = await shell.client().write({ method: 'POST', path: leaderPath, body: node === undefined ? {} : { node }, dryRun: options.dryRun === true })
      answer(shell, isDryRun(body) ? dryRunResult('transfer leadership', body) : { value: body, line: `${escapeText(textAt(body, 'leader'))} leads, in term ${textAt(body, 'term')}` })
    })
  withExample(withJson(transfer), 'novacron cluster transfer-leader', 'novacron cluster transfer-leader node2')
}

type Vote = { readonly verb: 'promote' | 'demote'; readonly past: string; readonly pending: string; readonly description: string }
type VoteOptions = { readonly auto?: true; readonly force?: true; readonly yes?: true; readonly dryRun?: true; readonly wait: number }

function registerVote(cluster: Command, shell: Shell, { verb, past, pending, description }: Vote): void {
  const vote = cluster.command(`${verb} <node>`).description(description)
    .option('--auto', 'take the wish back: the cluster decides again')
    .option('--force', 'also where fewer members could be lost afterwards, or it would have to wait for a seat')
    .option('--yes', 'do not ask about --force')
    .option('--wait <seconds>', `how long to wait until it is so (${voteWaitSeconds}); it fails where that is not enough, and 0 does not wait`, integerBetween(0, 300), voteWaitSeconds)
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (node: string, options: VoteOptions) => {
      const name = escapeText(node)
      if (options.force === true) await confirmLoss(shell, `${verb === 'promote' ? 'Promote' : 'Demote'} ${node} though it may make the cluster weaker?`, options.yes === true || options.dryRun === true)
      const route = options.auto === true ? 'auto-vote' : verb
      const { body } = await shell.client().write({ method: 'POST', path: `${pathOf(nouns.node, node)}/${route}`, body: options.force === true ? { force: true } : {}, dryRun: options.dryRun === true, waitSeconds: options.dryRun === true ? 0 : options.wait })
      if (isDryRun(body)) return answer(shell, dryRunResult(`${verb} ${node}`, body))
      if (options.auto === true) return answer(shell, { value: body, line: `${name}: the cluster decides whether it votes` })
      const isDone = /^(?:leader|voter)$/.test(textAt(body, 'status', 'role')) === (verb === 'promote')
      // Who did not want to wait has what was asked for: the wish is on record.
      if (isDone || options.wait === 0) return answer(shell, { value: body, line: `${name} ${isDone ? past : pending}` })
      answer(shell, { value: body, line: `${name} ${pending}; it is not so after ${options.wait} s. The wish stands: "novacron cluster status" tells what it waits for`, exitCode: exitCodes.failed })
    })
  withExample(withJson(vote), `novacron cluster ${verb} node4`, `novacron cluster ${verb} node4 --auto`)
}

function registerSnapshot(cluster: Command, shell: Shell): void {
  const snapshot = cluster.command('snapshot [node]').description('Shorten the Raft log of a node behind its state on disk, now; by default of the node that answers')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (node: string | undefined, options: { readonly dryRun?: true }) => {
      const name = node ?? textAt(await shell.client().get('/api/v1/cluster'), 'node')
      const { body } = await shell.client().write({ method: 'POST', path: `${pathOf(nouns.node, name)}/compact`, dryRun: options.dryRun === true })
      if (isDryRun(body)) return answer(shell, dryRunResult(`snapshot ${name}`, body))
      const size = (key: string) => renderBytes(Number(textAt(body, key)))
      answer(shell, { value: { node: name, ...(body as object) }, line: `${escapeText(name)}: state ${textAt(body, 'index')} is on disk, ${textAt(body, 'entries')} entries forgotten, log ${size('bytesBefore')} -> ${size('bytesAfter')}` })
    })
  withExample(withJson(snapshot), 'novacron cluster snapshot', 'novacron cluster snapshot node2')
}

function answer(shell: Shell, { value, line, exitCode = exitCodes.done }: Result): void {
  shell.endWith(exitCode)
  shell.answer(value, () => `${line}\n`)
}
