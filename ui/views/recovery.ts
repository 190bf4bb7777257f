// Backups of the cluster's state: the last one, a new one as a file, and the exact commands for the worst days.
import { html } from 'hono/html'
import type { BackupView } from '../../src/model/backup.ts'
import { bytes, count, moment } from './figures.ts'
import { changeButton, hiddenFields, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'

export type RecoveryPage = BackupView & { readonly errors: Readonly<Record<string, string>>; readonly withoutKey: boolean }

export function recoveryPage(frame: Frame, data: RecoveryPage): Html {
  return html`<div class="head"><div><div class="row title"><h1>Backup and recovery</h1>${asOf(frame)}</div><p>The whole state of the cluster: VMs as they are wished, people, tokens, images' records, history. What stands on disks of VMs is not in it.</p></div></div>
<div class="grid"><div class="c8 col wide">${newBackup(frame, data)}${restoreCard()}${recoverCard(frame)}</div><div class="c4 col wide">${lastBackup(frame, data)}</div></div>`
}

function lastBackup(frame: Frame, { last }: RecoveryPage): Html {
  const facts = last === null
    ? emptyNote(frame, { icon: 'backup', title: 'None yet', text: 'No backup was handed over to its end.' })
    : html`<div class="in"><dl class="kv"><dt>Made</dt><dd>${moment(frame, last.at)}</dd><dt>By</dt><dd>${last.by}</dd><dt>Through</dt><dd>${last.node}</dd><dt>Up to index</dt><dd>${count(last.index)}</dd><dt>Size</dt><dd>${bytes(last.bytes)}</dd><dt>Encrypted</dt><dd>${last.sealed ? 'yes, with the key' : 'no, without the key'}</dd><dt>Checksum</dt><dd class="mono small">${last.checksum.match(/.{8}/g)?.join(' ') ?? ''}</dd></dl></div>`
  return html`<section class="card" id="backup-last" aria-labelledby="bl-h"><header><h2 id="bl-h">Last backup</h2></header>${facts}</section>`
}

function newBackup(frame: Frame, { errors, withoutKey }: RecoveryPage): Html {
  return html`<section class="card" id="backup-new" aria-labelledby="bn-h"><header><div><h2 id="bn-h">Back up now</h2><p>From any node, while everything goes on. The file holds all that was acknowledged before you asked.</p></div></header><form class="in col wide" method="post" action="/recovery">${hiddenFields(frame)}<div class="two">${textField(frame, {
    id: 'bk-pass', name: 'passphrase', label: 'Passphrase', type: 'password', autocomplete: 'new-password', error: errors['passphrase'], help: 'At least 12 characters. Nobody can open the file without it.',
  })}${textField(frame, { id: 'bk-again', name: 'again', label: 'Passphrase again', type: 'password', autocomplete: 'new-password', error: errors['again'] })}</div><label class="check"><input type="checkbox" name="withoutKey" value="yes"${withoutKey ? html` checked` : ''}><span>Without a passphrase<small>Everybody who has the file can read it. The cluster's key is left out: a restore makes a new authority, which browsers have to trust anew.</small></span></label><div>${changeButton(frame, { text: 'Back up', icon: 'download', look: 'main', id: 'bk-go' })}</div>${localBackup(frame)}</form></section>`
}

/** Not one of the buttons that rest while there is no quorum: that is when it is wanted. */
function localBackup(frame: Frame): Html {
  const { node, quorum } = frame.cluster
  return html`<div class="note${quorum ? '' : ' warn'}">${icon(frame, quorum ? 's-info' : 's-warn', quorum ? 'dim' : 'warn')}<div class="grow"><p class="small">${quorum ? '' : html`<b>Without a quorum</b> this node cannot know what others acknowledged. `}What ${node} itself has can be saved at any time; it may be behind, and the file and a restore of it say so.</p></div><p><button type="submit" class="btn" name="local" value="yes" id="bk-local">Save what ${node} has</button></p></div>`
}

function command(text: string): Html {
  return html`<p><code>${text}</code></p>`
}

function restoreCard(): Html {
  return html`<section class="card" aria-labelledby="br-h"><header><div><h2 id="br-h">When every host is lost: restore</h2><p>As root, on a host that is in no cluster.</p></div></header><div class="in col"><p>Check the file, see what it would bring back, then found the new cluster from it; the other hosts join it as always.</p>${command('novacron cluster backup --verify FILE')}${command('novacron cluster restore FILE --dry-run')}${command('novacron cluster restore FILE')}<p class="small dim">It is another cluster under the same name, and the former one, should it live, is not touched. VMs come back without an owner, and nothing starts them before you say, one by one, that their former host is off: <code>novacron vm recover NAME --host-is-off</code>. They begin anew from their images.</p></div></section>`
}

function recoverCard(frame: Frame): Html {
  const { votersReady, voters, quorum, node } = frame.cluster
  const needed = Math.floor(voters / 2) + 1
  return html`<section class="card" id="backup-recover" aria-labelledby="bq-h"><header><div><h2 id="bq-h">When most voters are lost for good: recover</h2><p>As root, on the survivor that has most; each says what it has.</p></div></header><div class="in col"><p>${
    quorum ? html`There is a quorum: ${count(votersReady)} of ${count(voters)} voters are in touch, ${count(needed)} are needed. The command is refused while there is one.` : html`<b>There is no quorum:</b> ${count(votersReady)} of ${count(voters)} voters are in touch with ${node}, ${count(needed)} are needed. If the others can come back, wait for them: nothing is lost then.`
  }</p>${command('novacron cluster recover --dry-run')}${command('novacron cluster recover --others-are-off')}<p class="small dim">First make sure that all other members are off and stay off. The survivor goes on alone, with all that it has; lost is what only the others had. They are refused when they come back, have to leave by <code>novacron cluster leave</code> and join anew. Their VMs lose their owner.</p><p class="small dim">Save what the survivor has before that: <code>novacron cluster backup --local FILE</code>. Where the log of the only survivor was damaged it refuses; <code>novacron cluster recover --accept-loss --dry-run</code> says what it has left and from when: whatever was acknowledged after that is lost. A newer backup is better.</p></div></section>`
}
