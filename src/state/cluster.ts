// The first command of every cluster: its identity, its first node and its first administrator.
import type { CommandOf } from '../model/command.ts'
import type { Outcome } from './apply.ts'
import { Refusal, type Transaction } from './transaction.ts'

export function applyToCluster(transaction: Transaction, command: CommandOf<'cluster.init'>): Outcome {
  if (transaction.state.tables.cluster.size > 0) throw new Refusal('ALREADY_MEMBER', 'The cluster is formed already.')
  const { payload } = command
  const common = { revision: transaction.index, generation: 1, labels: {}, project: '' as const }
  const { timeMs } = transaction
  transaction.put('cluster', 'cluster', {
    id: payload.clusterId, kind: 'cluster', name: payload.name, project: '', revision: transaction.index, generation: 1,
    caCertificate: payload.caCertificate, caKeySealed: payload.caKeySealed, sessionKeySealed: payload.sessionKeySealed, createdMs: timeMs,
  })
  transaction.put('node', payload.node.id, {
    ...payload.node, ...common, kind: 'node', spec: { schedulable: true }, announcement: null, joinedMs: timeMs,
  })
  transaction.put('user', payload.admin.id, {
    ...common, id: payload.admin.id, kind: 'user', name: payload.admin.name, passwordHash: payload.admin.passwordHash,
    spec: { displayName: 'Administrator', disabled: false, bindings: [{ role: 'administrator', scope: '*' }] },
    createdMs: timeMs, passwordChangedMs: timeMs,
  })
  transaction.put('token', payload.token.id, {
    ...common, id: payload.token.id, kind: 'token', name: payload.token.name, spec: {}, userId: payload.admin.id,
    secretHash: payload.token.secretHash, createdMs: timeMs, expiresMs: null, revokedMs: null,
  })
  transaction.event({
    type: 'created', kind: 'cluster', resourceId: payload.clusterId, name: payload.name, project: '',
    message: `Cluster ${payload.name} was formed on ${payload.node.name}`, reason: 'cluster.formed',
  })
  return { id: payload.clusterId }
}
