// Sessions where clocks of nodes differ: state time may be ahead of the clock of the node that signs in.
import { expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import { IdentityUseCases } from '../../../src/app/identity.ts'
import { SignInGuard } from '../../../src/app/sign-in-guard.ts'
import type { ClusterKeys } from '../../../src/app/keys.ts'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { createVault } from '../../../src/drivers/crypto/vault.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import { recordingLog } from '../http/harness.ts'
import { World, startMs } from '../state/world.ts'

const identityOf = (context: AppContext, keys: ClusterKeys) => new IdentityUseCases(context, keys, new SignInGuard(context))

async function identityAt(nowMs: number) {
  const world = new World()
  const { nodeId, adminId } = world.form()
  const vault = createVault(createIdentity(nodeId))
  const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => () => undefined, every: () => () => undefined }
  const key = systemRandom.bytes(32)
  const ports = { clock, vault, random: systemRandom, log: recordingLog([]), consensus: { state: world.state } } as unknown as AppPorts
  const identity = identityOf(new AppContext({ nodeId, version: '0' }, ports), { sessionKey: () => key } as unknown as ClusterKeys)
  const setPassword = async (password: string) => world.run('user.setPassword', { id: adminId, passwordHash: await vault.hashPassword(password) })
  return { identity, setPassword, world }
}

test('who changes the password and signs in on a node whose clock is behind stays signed in', async () => {
  const { identity, setPassword } = await identityAt(startMs - 3_600_000)
  await setPassword('correct horse')
  const { cookie } = await identity.signIn({ name: 'admin', password: 'correct horse', address: '' })
  expect(await identity.authenticateSession(cookie, '')).toMatchObject({ userName: 'admin' })
})

test('where the state is not there yet nobody is told that the password is wrong', async () => {
  const { identity, world } = await identityAt(startMs)
  world.state.tables.cluster.clear()
  await expect(identity.signIn({ name: 'admin', password: 'correct horse', address: '' })).rejects.toMatchObject({ code: 'NO_QUORUM' })
})

test('a session from before a password change ends with it', async () => {
  const { identity, setPassword, world } = await identityAt(startMs)
  await setPassword('correct horse')
  const { cookie } = await identity.signIn({ name: 'admin', password: 'correct horse', address: '' })
  world.timeMs += 5_000
  await setPassword('battery staple')
  expect(await identity.authenticateSession(cookie, '')).toBeNull()
})
