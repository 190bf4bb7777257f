// What the state knows of backups: who asked for one, and the last that was handed over to its end.
import type { CommandOf } from '../model/command.ts'
import type { StoredCluster } from '../model/cluster.ts'
import type { Outcome } from './apply.ts'
import { Refusal, type Transaction } from './transaction.ts'

export function applyBackup(transaction: Transaction, command: CommandOf<'cluster.backup' | 'cluster.backedUp'>): Outcome {
  const cluster = transaction.get('cluster', 'cluster')
  if (cluster === undefined) throw new Refusal('NOT_CLUSTERED', 'There is no cluster yet.')
  if (command.type === 'cluster.backup') {
    say(transaction, cluster, `${transaction.actor.name} asked for a backup, ${command.payload.sealed ? 'under a passphrase' : 'without the cluster\'s key'}`, 'cluster.backup')
    return { id: cluster.id }
  }
  const { payload } = command
  // Two at once may end in another order than they began.
  if ((cluster.lastBackup?.index ?? 0) > payload.index) return { id: cluster.id }
  transaction.put('cluster', 'cluster', { ...cluster, revision: transaction.index, lastBackup: { ...payload, atMs: transaction.timeMs } })
  say(transaction, cluster, `A backup by ${payload.by} was sent whole, up to index ${payload.index}`, 'cluster.backedUp')
  return { id: cluster.id }
}

function say(transaction: Transaction, cluster: StoredCluster, message: string, reason: string): void {
  transaction.event({ type: 'updated', kind: 'cluster', resourceId: cluster.id, name: cluster.name, project: '', message, reason })
}
