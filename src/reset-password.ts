// Root on a member may give a user a new password: for when the administrator's was lost.
import { z } from 'zod'
import { parseInput } from './app/parse.ts'
import type { Formation } from './formation.ts'
import { makeCommand } from './model/command.ts'
import { OperationalError } from './model/error.ts'
import { nameSchema, uuidV7, type UserId } from './model/id.ts'
import { findByRef } from './state/query.ts'

const schema = z.strictObject({ name: nameSchema })

/** @throws NOT_CLUSTERED; NOT_FOUND; what a proposal throws */
export async function resetPassword(formation: Pick<Formation, 'member' | 'host'>, body: unknown): Promise<{ readonly user: string; readonly password: string }> {
  const { name } = parseInput(schema, body)
  const { member, host } = formation
  if (member === null) throw new OperationalError('NOT_CLUSTERED', 'This node is in no cluster.')
  const { cluster } = member.node
  await cluster.readBarrier()
  const user = findByRef(cluster.state, 'user', name, '')
  if (user === undefined) throw new OperationalError('NOT_FOUND', `There is no user ${name}.`)
  const password = host.vault.readablePassword()
  const passwordHash = await host.vault.hashPassword(password)
  const head = { id: uuidV7(host.clock.nowMs(), host.random.bytes(10)), actor: { kind: 'system' as const, id: host.identity.nodeId, name: `root of ${host.config.name}`, address: '' } }
  const result = await cluster.propose(makeCommand('user.setPassword', head, { id: user.id as UserId, passwordHash }), {})
  if (result.kind === 'refused') throw new OperationalError(result.code, result.message)
  return { user: user.name, password }
}
