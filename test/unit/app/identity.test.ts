// Sessions where clocks of nodes differ: state time may be ahead of the clock of the node that signs in. And what was made on another node a moment ago.
import { expect, test } from 'vitest'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import { IdentityUseCases } from '../../../src/app/identity.ts'
import { SignInGuard } from '../../../src/app/sign-in-guard.ts'
import type { ClusterKeys } from '../../../src/app/keys.ts'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { createVault } from '../../../src/drivers/crypto/vault.ts'
import type { TokenId, UserId } from '../../../src/model/id.ts'
import { apiTokenPrefix } from '../../../src/model/token.ts'
import { userSpecSchema } from '../../../src/model/user.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import { recordingLog } from '../http/harness.ts'
import { World, startMs } from '../state/world.ts'

const identityOf = (context: AppContext, keys: ClusterKeys) => new IdentityUseCases(context, keys, new SignInGuard(context))

/** @param arrive what this node learns when it asks how far the cluster is */
async function identityAt(nowMs: number, { quorum = true, arrive = () => undefined }: { readonly quorum?: boolean; readonly arrive?: () => unknown } = {}) {
  const world = new World()
  const { nodeId, adminId } = world.form()
  const vault = createVault(createIdentity(nodeId))
  // Short waits are over at once, time-outs never come.
  const after: Clock['after'] = (delayMs, action) => {
    if (delayMs < 1000) setImmediate(action)
    return () => undefined
  }
  const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, after, every: () => () => undefined }
  const key = systemRandom.bytes(32)
  let barriers = 0
  const readBarrier = async () => {
    barriers += 1
    await Promise.resolve()
    arrive()
    return world.state.index
  }
  const consensus = { state: world.state, status: () => ({ quorum }), readBarrier }
  const ports = { clock, vault, random: systemRandom, log: recordingLog([]), consensus } as unknown as AppPorts
  const identity = identityOf(new AppContext({ nodeId, version: '0' }, ports), { sessionKey: () => key } as unknown as ClusterKeys)
  const setPassword = async (password: string) => world.run('user.setPassword', { id: adminId, passwordHash: await vault.hashPassword(password) })
  return { identity, setPassword, world, vault, adminId, barriers: () => barriers }
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

test('a token made on another node a moment ago is good here: before it is called wrong this node comes abreast', async () => {
  const secret = `${apiTokenPrefix}${'a'.repeat(43)}`
  const here = await identityAt(startMs, { arrive: () => make() })
  const make = () => here.world.run('token.create', { id: here.world.newId() as TokenId, userId: here.adminId, name: 'new', secretHash: here.vault.sha256Hex(secret), expiresInDays: null })
  expect(await here.identity.authenticateToken(secret, '')).toMatchObject({ userName: 'admin' })
  expect(await here.identity.authenticateToken(secret, '')).toMatchObject({ userName: 'admin' })
  expect(here.barriers()).toBe(1)
})

test('strangers who ask at once share two questions to the leader, and what cannot be a token asks none', async () => {
  const here = await identityAt(startMs)
  const strangers = Array.from({ length: 50 }, (_, n) => here.identity.authenticateToken(`${apiTokenPrefix}${String(n).padStart(43, 'x')}`, ''))
  expect(await Promise.all(strangers)).toEqual(strangers.map(() => null))
  expect(here.barriers()).toBe(2)
  expect(await here.identity.authenticateToken('no token', '')).toBeNull()
  expect(here.barriers()).toBe(2)
})

test('without quorum nobody waits: what can be known is here', async () => {
  const here = await identityAt(startMs, { quorum: false })
  expect(await here.identity.authenticateToken(`${apiTokenPrefix}${'b'.repeat(43)}`, '')).toBeNull()
  expect(here.barriers()).toBe(0)
})

test('a user made on another node signs in here at once', async () => {
  const here = await identityAt(startMs, { arrive: () => void (hash !== '' && make()) })
  let hash = ''
  const make = () => here.world.run('user.create', { id: here.world.newId() as UserId, name: 'ada', labels: {}, passwordHash: hash, spec: userSpecSchema.parse({}) })
  hash = await here.vault.hashPassword('correct horse')
  expect((await here.identity.signIn({ name: 'ada', password: 'correct horse', address: '' })).caller.userName).toBe('ada')
})
