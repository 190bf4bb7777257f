// `novacron cluster` and `doctor`: founding, joining, join tokens, and what this host is like; partly over the control socket.
import type { Command } from 'commander'
import { registerBackup } from './backup.ts'
import { askControl, withSocket, type SocketOptions } from './control-client.ts'
import { exitCodes, Failure } from './io.ts'
import { registerMembers } from './members.ts'
import { escapeText, paint, renderDetails, renderTable, styleOf, textAt } from './output.ts'
import { integerBetween, listAt } from './nouns.ts'
import { confirmLoss, dryRunResult, isDryRun } from './results.ts'
import { registerRecoverCluster, registerRestore } from './refounding.ts'
import { withExample, withJson, type Shell } from './shell.ts'

const clusterPath = '/api/v1/cluster'
const tokensPath = `${clusterPath}/join-tokens`

export function registerCluster(program: Command, shell: Shell): void {
  const cluster = program.command('cluster').description('The cluster: found it, join it, look at it')
  registerInit(cluster, shell)
  registerJoin(cluster, shell)
  registerLeave(cluster, shell)
  registerMembers(cluster, shell)
  const show = cluster.command('show').description('Show the cluster as the node that answers sees it').action(async () => {
    const answer = await shell.client().get(clusterPath)
    shell.answer(answer, () => renderDetails(answer))
  })
  withExample(withJson(show), 'novacron cluster show')
  registerJoinTokens(cluster, shell)
  registerBackup(cluster, shell)
  registerRestore(cluster, shell)
  registerRecoverCluster(cluster, shell)
}

function registerInit(cluster: Command, shell: Shell): void {
  const init = withSocket(cluster.command('init').description('Found a new cluster on this host; shows the administrator\'s password this once'))
    .option('--name <name>', 'name of the cluster (novacron)')
    .action(async (options: SocketOptions & { readonly name?: string }) => {
      const answer = await askControl(options.socket, 'POST', '/init', options.name === undefined ? {} : { name: options.name })
      shell.answer(answer, () => [
        'The cluster is founded. Neither password nor token is shown again:', '',
        `  user      ${escapeText(textAt(answer, 'adminUser'))}`, `  password  ${escapeText(textAt(answer, 'adminPassword'))}`, `  token     ${escapeText(textAt(answer, 'token'))}`, '',
        "The cluster's own authority, for browsers and NOVACRON_CA:", '', textAt(answer, 'caCertificate').trim(), '',
      ].join('\n'))
    })
  withExample(withJson(init), 'novacron cluster init --name berlin')
}

function registerJoin(cluster: Command, shell: Shell): void {
  const join = withSocket(cluster.command('join <token>').description('Make this host a member of the cluster that made the token'))
    .option('--keep-vms', 'this host is the only one of its cluster: its VMs run on and come along; its users and tokens do not')
    .option('--yes', 'do not ask')
    .action(async (token: string, options: SocketOptions & { readonly keepVms?: true; readonly yes?: true }) => {
      if (options.keepVms === true) await confirmLoss(shell, 'Give up the cluster of this host? Its VMs and images come along; its users, tokens and history are put aside.', options.yes === true)
      shell.progress('joining')
      const answer = await askControl(options.socket, 'POST', '/join', { token, ...(options.keepVms === true ? { keepVms: true } : {}) })
      shell.answer(answer, () => `${escapeText(textAt(answer, 'name'))} is a member\n`)
    })
  withExample(withJson(join), 'novacron cluster join ncj_eyJjIjoi…', 'novacron cluster join ncj_eyJjIjoi… --keep-vms')
}

function registerLeave(cluster: Command, shell: Shell): void {
  const leave = withSocket(cluster.command('leave').description('Take this host out of its cluster in an orderly way; what it has of it is put aside'))
    .option('--yes', 'do not ask')
    .action(async (options: SocketOptions & { readonly yes?: true }) => {
      await confirmLoss(shell, 'Take this host out of its cluster? It can join again only as a new node.', options.yes === true)
      const answer = await askControl(options.socket, 'POST', '/leave')
      shell.answer(answer, () => `this host has left ${escapeText(textAt(answer, 'clusterName'))}\n`)
    })
  withExample(withJson(leave), 'novacron cluster leave --yes')
}

function registerJoinTokens(cluster: Command, shell: Shell): void {
  const token = cluster.command('token').description('Join tokens: for one host, once, for a time')
  const create = token.command('create').description('Make a join token; it is shown this once')
    .option('--life <seconds>', 'how long it may be used (3600)', integerBetween(1, 7 * 86_400))
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (options: { readonly life?: number; readonly dryRun?: true }) => {
      const answer = await createJoinToken(shell, options.life === undefined ? {} : { lifeSeconds: options.life }, options.dryRun === true)
      if (isDryRun(answer)) return shell.answer(answer, () => `${dryRunResult('make a join token', answer).line}\n`)
      shell.answer(answer, () => `${textAt(answer, 'token')}\n`)
      if (!shell.json) shell.progress(`On the new host, until ${textAt(answer, 'expiresAt')}: novacron cluster join TOKEN`)
    })
  withExample(withJson(create), 'novacron cluster token create --life 600')
  const list = token.command('list').alias('ls').description('List join tokens, without their secrets').action(async () => {
    const answer = await shell.client().get(tokensPath)
    const cellsOf = (item: unknown) => [{ text: textAt(item, 'id') }, { text: textAt(item, 'state'), style: styleOf(textAt(item, 'state')) }, { text: textAt(item, 'usedBy') }, { text: textAt(item, 'expiresAt') }]
    shell.answer(answer, () => renderTable(['ID', 'STATE', 'USED BY', 'EXPIRES'], listAt(answer, 'items').map(cellsOf), shell.colours))
  })
  withExample(withJson(list), 'novacron cluster token list')
  const revoke = token.command('revoke <id>').description('Make a join token useless')
    .option('--dry-run', 'change nothing; show what would change')
    .action(async (id: string, options: { readonly dryRun?: true }) => {
      const { body } = await shell.client().write({ method: 'DELETE', path: `${tokensPath}/${encodeURIComponent(id)}`, dryRun: options.dryRun === true })
      const shown = isDryRun(body) ? dryRunResult(`revoke ${id}`, body) : { value: { id, revoked: true }, line: `${escapeText(id)} revoked` }
      shell.answer(shown.value, () => `${shown.line}\n`)
    })
  withExample(withJson(revoke), 'novacron cluster token revoke 01890a5d-ac96-774b-bcce-000000000001')
}

/** A token whose answer was lost cannot be shown again: then another one is made, and the lost one expires by itself. */
async function createJoinToken(shell: Shell, body: Readonly<Record<string, unknown>>, dryRun: boolean): Promise<unknown> {
  const write = { method: 'POST', path: tokensPath, body, dryRun } as const
  try {
    return (await shell.client().write(write)).body
  } catch (error) {
    if (!(error instanceof Failure && error.code === 'STATE_CONFLICT' && /shown once/.test(error.message))) throw error
    return (await shell.client().write(write)).body
  }
}

export function registerDoctor(program: Command, shell: Shell): void {
  const doctor = withSocket(program.command('doctor').description('Measure what this host is like as a node: disk, clock, network, libvirt; 1 where something is bad'))
    .action(async (options: SocketOptions) => {
      shell.progress('measuring; this takes some seconds')
      const checks = await askControl(options.socket, 'GET', '/doctor')
      const list = Array.isArray(checks) ? checks : []
      shell.answer(checks, () => {
        const rows = list.map((check) => [{ text: textAt(check, 'check') }, { text: textAt(check, 'outcome'), style: styleOf(textAt(check, 'outcome')) }, { text: textAt(check, 'measured') }, { text: textAt(check, 'advice') }])
        return renderTable(['CHECK', 'OUTCOME', 'MEASURED', 'ADVICE'], rows, shell.colours)
      })
      const bad = list.filter((check) => textAt(check, 'outcome') === 'bad').length
      if (bad > 0) shell.endWith(exitCodes.failed)
      if (!shell.json) shell.progress(bad === 0 ? 'nothing is bad' : paint(`${bad} bad`, 'bad', shell.colours && shell.io.stderr.isTTY === true))
    })
  withExample(withJson(doctor), 'novacron doctor')
}
