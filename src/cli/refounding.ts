// `novacron cluster restore` and `recover`: a cluster from a backup, and one that lost its quorum. Both are acts of root on one host.
import type { Command } from 'commander'
import { checkBackup, withInputFile } from './backup.ts'
import { askControl, sendControl, withSocket, type SocketOptions } from './control-client.ts'
import { usageFailure } from './io.ts'
import { listAt } from './nouns.ts'
import { escapeText, renderDetails, renderTable, textAt, textOf, valueAt } from './output.ts'
import { passphraseOf, withPassphrase, type PassphraseOptions } from './passphrase.ts'
import { confirmLoss } from './results.ts'
import { withExample, withJson, type Shell } from './shell.ts'

/** All of them stand in the JSON. */
const namesShownMax = 10

type RestoreOptions = SocketOptions & PassphraseOptions & { readonly name?: string; readonly yes?: true; readonly dryRun?: true }

export function registerRestore(cluster: Command, shell: Shell): void {
  const restore = withPassphrase(withSocket(cluster.command('restore <file>').description('Found a new cluster on this host, which is in none, with everything of a backup; - is standard input')))
    .option('--name <name>', 'name of the new cluster (as before)')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing; show what would be restored')
    .action((file: string, options: RestoreOptions) => {
      if (file === '-' && options.passphraseStdin === true) throw usageFailure('Standard input cannot be both: say --passphrase-file.')
      return withInputFile(shell, file, (path) => restoreFrom(shell, path, options))
    })
  withExample(withJson(restore), 'novacron cluster restore monday.novabackup --dry-run', 'novacron cluster restore monday.novabackup --passphrase-file /root/passphrase --yes', 'ssh far cat monday.novabackup | novacron cluster restore - --passphrase-file /root/passphrase --yes')
}

async function restoreFrom(shell: Shell, path: string, options: RestoreOptions): Promise<void> {
  // A damaged file is told here, before anybody is asked for a passphrase.
  const { header } = await checkBackup(path)
  const passphrase = await passphraseOf(shell, options, header.passphrase === null ? null : 'known')
  const about = { ...(passphrase === null ? {} : { passphrase }), ...(options.name === undefined ? {} : { name: options.name }) }
  const send = (dryRun: boolean) => sendControl(options.socket, '/restore', { path, options: { ...about, dryRun } })
  const plan = await send(true)
  if (options.dryRun === true) return shell.answer(plan, () => renderRestore(plan))
  shell.progress(renderRestore(plan).trimEnd())
  await confirmLoss(shell, `Found cluster ${textAt(plan, 'clusterName')} anew on this host?`, options.yes === true)
  const answer = await send(false)
  shell.answer(answer, () => `${escapeText(textAt(answer, 'clusterName'))} is restored; let the other hosts join by "novacron cluster token create"\n\n${valueAt(answer, 'keptAuthority') === true ? '' : `The cluster's new authority, for browsers and NOVACRON_CA:\n\n${textAt(answer, 'caCertificate').trim()}\n`}`)
}

type RecoverOptions = SocketOptions & { readonly othersAreOff?: true; readonly acceptLoss?: true; readonly yes?: true; readonly dryRun?: true }

export function registerRecoverCluster(cluster: Command, shell: Shell): void {
  const recover = withSocket(cluster.command('recover').description('After the loss of a quorum: this host, a survivor, goes on as the only member; the others have to join anew'))
    .option('--others-are-off', 'you have made sure that all other members are off and stay off: else two clusters live, and a VM may run twice')
    .option('--accept-loss', "also where this host's log was damaged: what was acknowledged after the last that is left here is lost")
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing; show what would be lost')
    .action(async (options: RecoverOptions) => {
      const loss = options.acceptLoss === true ? { acceptLoss: true } : {}
      const plan = await askControl(options.socket, 'POST', '/recover', { ...loss, dryRun: true })
      if (options.dryRun === true) return shell.answer(plan, () => renderRecover(plan))
      if (options.othersAreOff !== true) throw usageFailure('Make sure that the other members are off and stay off, then say --others-are-off: nothing else keeps them from going on as the former cluster.')
      shell.progress(renderRecover(plan).trimEnd())
      await confirmLoss(shell, `Go on with ${textAt(plan, 'node')} alone, for good?`, options.yes === true)
      const answer = await askControl(options.socket, 'POST', '/recover', { ...loss, othersAreOff: true })
      shell.answer(answer, () => `${escapeText(textAt(answer, 'clusterName'))} goes on with ${escapeText(textAt(answer, 'node'))} alone, at epoch ${textAt(answer, 'epoch')}\n`)
    })
  withExample(withJson(recover), 'novacron cluster recover --dry-run', 'novacron cluster recover --others-are-off', 'novacron cluster recover --accept-loss --dry-run')
}

function renderRestore(answer: unknown): string {
  const counts = Object.entries(valueAt(answer, 'records') as object).map(([table, count]) => `${String(count)} ${table}`).join(', ')
  return `${renderDetails(valueAt(answer, 'backup'))}\n${escapeText(`Records: ${counts}.`)}\n${renderLosses(answer)}`
}

function renderRecover(answer: unknown): string {
  const facts = Object.fromEntries(['clusterName', 'node', 'epoch', 'term', 'lastIndex', 'commit', 'mayLack', 'lastLeaderAt', 'lastEntryAt'].map((name) => [name, valueAt(answer, name)]))
  const rows = listAt(answer, 'members').map((member) => [{ text: textAt(member, 'name') }, { text: valueAt(member, 'voter') === true ? 'voter' : 'learner' }, { text: valueAt(member, 'answers') === true ? 'answers' : 'is silent' }, { text: textAt(member, 'lastIndex') }])
  return `${renderDetails(facts)}\n${renderTable(['DROPPED', 'ROLE', 'NOW', 'LAST INDEX'], rows, false)}\n${renderLosses(answer)}`
}

function renderLosses(answer: unknown): string {
  const line = (what: string, field: string) => {
    const names = listAt(answer, field).map(textOf)
    const more = names.length > namesShownMax ? ` and ${names.length - namesShownMax} more` : ''
    return names.length === 0 ? [] : [`${what}: ${names.slice(0, namesShownMax).join(', ')}${more}.`]
  }
  const lines = [...line('Members that are none any more', 'droppedNodes'), ...line('VMs without an owner', 'lostVms'), ...line('Images without a copy', 'lostImages'), ...listAt(answer, 'notes').map(textOf)]
  return lines.map((each) => `${escapeText(each)}\n`).join('')
}
