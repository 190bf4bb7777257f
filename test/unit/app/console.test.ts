// Tickets for consoles: where they open one, and every way in which they do not.
import { beforeEach, describe, expect, test } from 'vitest'
import { ConsoleUseCases } from '../../../src/app/console.ts'
import { ticketLifeMs } from '../../../src/app/console-ticket.ts'
import { AppContext, type AppPorts } from '../../../src/app/context.ts'
import type { Caller, ConsoleSeat } from '../../../src/app/face.ts'
import { IdentityUseCases } from '../../../src/app/identity.ts'
import type { ClusterKeys } from '../../../src/app/keys.ts'
import { SignInGuard } from '../../../src/app/sign-in-guard.ts'
import { createIdentity } from '../../../src/drivers/crypto/identity.ts'
import { systemRandom } from '../../../src/drivers/crypto/random.ts'
import { createVault } from '../../../src/drivers/crypto/vault.ts'
import { OperationalError, type ErrorCode } from '../../../src/model/error.ts'
import type { NodeId, TokenId, UserId } from '../../../src/model/id.ts'
import type { Vm } from '../../../src/model/vm.ts'
import { ByteQueue } from '../../../src/ports/byte-queue.ts'
import type { Clock } from '../../../src/ports/clock.ts'
import type { ByteStream, PeerStreams } from '../../../src/ports/transport.ts'
import { recordingLog } from '../http/harness.ts'
import { startMs, World } from '../state/world.ts'

const write = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }

/** A stream that says one word, at the node where it was opened. */
function sayer(word: string): ByteStream {
  const readable = new ByteQueue()
  readable.push(new TextEncoder().encode(word))
  readable.finish()
  return { readable, write: async () => {}, end: async () => {}, abort: () => readable.finish() }
}
/** Reads a console to its end, and takes leave as a viewer does. */
async function heard(seat: ConsoleSeat): Promise<string> {
  let text = ''
  const stream = await seat.open(write.signal)
  for await (const chunk of stream.readable) text += new TextDecoder().decode(chunk)
  stream.abort()
  return text
}

/** A handler of peer streams, called as by a peer: the stream is open once the handler uses it or is done; who throws before has refused. */
function opened(handling: (stream: ByteStream) => Promise<void>): Promise<ByteStream> {
  const [there, back] = [new ByteQueue(), new ByteQueue()]
  const end = () => [there, back].forEach((queue) => queue.finish())
  const { promise, resolve, reject } = Promise.withResolvers<ByteStream>()
  const near: ByteStream = { readable: there, write: async (chunk) => back.push(chunk), end: async () => back.finish(), abort: end }
  const accept = () => resolve(near)
  const used: ByteStream = {
    readable: {
      [Symbol.asyncIterator]() {
        accept()
        return back[Symbol.asyncIterator]()
      },
    },
    async write(chunk) {
      accept()
      there.push(chunk)
    },
    async end() {
      accept()
      there.finish()
    },
    abort: end,
  }
  handling(used).then(accept, reject)
  return promise
}

/** Two nodes of a cluster over one state, with streams between them as plain calls. */
async function cluster() {
  const world = new World()
  const { nodeId, adminId } = world.form()
  const other = world.newId() as NodeId
  const vmId = world.vm(nodeId, 'web', { runState: 'running' })
  const secondId = world.vm(nodeId, 'db', { runState: 'running' })
  world.report(vmId, nodeId, 'running')
  const time = { ms: startMs }
  const clock: Clock = { nowMs: () => time.ms, monotonicMs: () => time.ms, after: () => () => undefined, every: () => () => undefined }
  const vault = createVault(createIdentity(nodeId))
  const key = { bytes: systemRandom.bytes(32) }
  const handlers = new Map<string, Map<string, Parameters<PeerStreams['handle']>[1]>>()
  const cut = { value: false }
  const make = (at: NodeId, from: NodeId) => {
    const own = new Map<string, Parameters<PeerStreams['handle']>[1]>()
    handlers.set(at, own)
    const streams: PeerStreams = {
      handle: (purpose, handler) => void own.set(purpose, handler),
      async open(to, header) {
        if (cut.value) throw new OperationalError('PEER_UNREACHABLE', 'cut')
        return opened(async (stream) => handlers.get(to)?.get(header.purpose)?.(from, header, stream))
      },
    }
    const ports = {
      clock, vault, random: systemRandom, log: recordingLog([]), streams,
      consensus: { state: world.state, status: () => ({ halted: null, troubles: [], quorum: true }), readBarrier: async () => world.state.index, watch: () => () => undefined },
      transport: { peers: () => [nodeId, other].filter((id) => id !== at).map((id) => ({ nodeId: id, connected: !cut.value, rttMs: 1, queuedBytes: 0 })) },
      presence: { of: () => ({ ageMs: 10 }) },
      hypervisor: { console: async () => sayer(`serial at ${at}`), screen: async () => sayer(`screen at ${at}`) },
    } as unknown as AppPorts
    const context = new AppContext({ nodeId: at, version: '0' }, ports)
    const keys = { sessionKey: () => key.bytes } as unknown as ClusterKeys
    const identity = new IdentityUseCases(context, keys, new SignInGuard(context))
    const vms = {
      get(_caller: Caller, ref: string): Vm {
        const vm = [...world.state.tables.vm.values()].find((one) => one.id === ref || one.name === ref)
        if (vm === undefined) throw new OperationalError('NOT_FOUND', 'none')
        return { id: vm.id, name: vm.name, project: vm.project, status: { phase: vm.report.phase, nodeId: vm.assignment?.nodeId ?? null } } as Vm
      },
    }
    const consoles = new ConsoleUseCases(context, { keys, identity, vms })
    consoles.serve()
    return { consoles, identity }
  }
  const [first, second] = [make(nodeId, nodeId), make(other, other)]
  await setPassword(world, vault, adminId)
  const { caller } = await first.identity.signIn({ name: 'admin', password: 'correct horse', address: '' })
  return { world, nodeId, adminId, vmId, secondId, time, key, cut, first, second, caller, vault }
}
async function setPassword(world: World, vault: ReturnType<typeof createVault>, id: UserId) {
  world.run('user.setPassword', { id, passwordHash: await vault.hashPassword('correct horse') })
}

let it: Awaited<ReturnType<typeof cluster>>
beforeEach(async () => {
  it = await cluster()
})
const issue = (body: unknown = {}, caller = it.caller) => it.first.consoles.issue(caller, 'web', body, write)
const redeem = (ticket: string, at = it.first, target: { ref?: string; type?: string } = {}) => at.consoles.redeem(ticket, { ref: target.ref ?? it.vmId, type: target.type ?? 'serial' }, '192.0.2.9')
async function refused(promise: Promise<unknown>, code: ErrorCode, pattern = /./) {
  const error = await promise.then(() => null, (reason: unknown) => reason)
  expect(error).toBeInstanceOf(OperationalError)
  expect(error).toMatchObject({ code, message: expect.stringMatching(pattern) as string })
}

describe('a ticket', () => {
  test('opens the console it names, at the node that issued it and at another', async () => {
    const ticket = issue()
    expect(ticket).toMatchObject({ type: 'serial', url: `/api/v1/vms/${it.vmId}/console?type=serial&ticket=${ticket.ticket}`, expiresAt: new Date(startMs + ticketLifeMs).toISOString() })
    expect(await heard(await redeem(ticket.ticket))).toBe(`serial at ${it.nodeId}`)
    expect(await heard(await redeem(issue({ type: 'screen' }).ticket, it.second, { type: 'screen', ref: 'web' }))).toBe(`screen at ${it.nodeId}`)
  })

  test('serves once, wherever it is used again, also at the same moment', async () => {
    const { ticket } = issue()
    await redeem(ticket, it.second)
    await refused(redeem(ticket, it.second), 'TICKET_INVALID', /used/)
    await refused(redeem(ticket, it.first), 'TICKET_INVALID', /used/)
    const again = issue().ticket
    const outcomes = await Promise.allSettled([redeem(again, it.first), redeem(again, it.second), redeem(again, it.second)])
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1)
  })

  test('is over after 30 seconds, by the clock of the node that issued it', async () => {
    const { ticket } = issue()
    it.time.ms += ticketLifeMs - 1
    const late = issue().ticket
    await redeem(ticket)
    it.time.ms += ticketLifeMs
    await refused(redeem(late, it.second), 'TICKET_INVALID', /30 s/)
  })

  test('opens neither another VM nor another kind, and is not spent by the attempt', async () => {
    const { ticket } = issue()
    await refused(redeem(ticket, it.first, { ref: it.secondId }), 'TICKET_INVALID', /another/)
    await refused(redeem(ticket, it.first, { type: 'screen' }), 'TICKET_INVALID', /another/)
    await redeem(ticket)
  })

  test('of another cluster, altered, or none at all is refused', async () => {
    const { ticket } = issue()
    for (const broken of ['', 'x', ticket.slice(0, -2), `${ticket.startsWith('A') ? 'B' : 'A'}${ticket.slice(1)}`, 'a'.repeat(5000)]) await refused(redeem(broken), 'TICKET_INVALID', /no console ticket/)
    it.key.bytes = systemRandom.bytes(32)
    await refused(redeem(ticket), 'TICKET_INVALID', /no console ticket/)
    // Sealed by the right key for another purpose.
    await refused(redeem(it.vault.seal(it.key.bytes, new TextEncoder().encode('{}'), 'novacron/other')), 'TICKET_INVALID')
  })

  test('is void where the node that issued it cannot be asked', async () => {
    const { ticket } = issue()
    it.cut.value = true
    await refused(redeem(ticket, it.second), 'PEER_UNREACHABLE')
    await redeem(ticket, it.first)
  })
})

describe('who may', () => {
  const viewer = (): Caller => ({ ...it.caller, userName: 'eve', bindings: [{ role: 'viewer', scope: '*' }] })

  test('a viewer gets no ticket', () => {
    expect(() => issue({}, viewer())).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }) as Error)
    expect(() => issue({ type: 'video' })).toThrow(expect.objectContaining({ code: 'INVALID' }) as Error)
  })

  test('signing out voids a ticket that is out, and ends a console that is open', async () => {
    const { ticket } = issue()
    const seat = await redeem(issue().ticket, it.second)
    expect(seat.holds()).toBe(true)
    it.world.run('session.revoke', { id: it.caller.session!.id, expiresMs: it.caller.session!.expiresMs })
    expect(seat.holds()).toBe(false)
    await refused(redeem(ticket), 'TICKET_INVALID', /over/)
  })

  test('a changed password and a disabled user end it', async () => {
    const seat = await redeem(issue().ticket)
    await setPassword(it.world, it.vault, it.adminId)
    it.world.timeMs += 2_000
    await setPassword(it.world, it.vault, it.adminId)
    expect(seat.holds()).toBe(false)
  })

  test('an operator who becomes a viewer loses it; so does a token that is revoked', async () => {
    const userId = it.world.newId() as UserId
    expect(it.world.outcome('user.add', { id: userId, name: 'olga', labels: {}, passwordHash: await it.vault.hashPassword('correct horse'), spec: { displayName: '', disabled: false, bindings: [{ role: 'operator', scope: '*' }] } })).toBe('done')
    it.time.ms += 5_000
    const { caller } = await it.first.identity.signIn({ name: 'olga', password: 'correct horse', address: '' })
    const [seat, ticket] = [await redeem(issue({}, caller).ticket), issue({}, caller).ticket]
    expect(it.world.outcome('role.grant', { userId, role: 'viewer', scope: '*' })).toBe('done')
    expect(it.world.outcome('role.revoke', { userId, role: 'operator', scope: '*' })).toBe('done')
    expect(seat.holds()).toBe(false)
    await refused(redeem(ticket), 'FORBIDDEN')

    const secret = it.vault.apiTokenSecret()
    const id = it.world.newId() as TokenId
    expect(it.world.outcome('token.create', { id, name: 'ci', userId: it.adminId, secretHash: it.vault.sha256Hex(secret), expiresInDays: null })).toBe('done')
    const byToken = await it.first.identity.authenticateToken(secret, '')
    const tokenSeat = await redeem(issue({}, byToken!).ticket, it.second)
    expect(tokenSeat.holds()).toBe(true)
    it.world.run('token.revoke', { id })
    expect(tokenSeat.holds()).toBe(false)
  })

  test('a VM that is deleted ends it', async () => {
    const seat = await redeem(issue().ticket)
    it.world.state.tables.vm.delete(it.vmId)
    expect(seat.holds()).toBe(false)
  })
})

describe('where there is no console', () => {
  test('a VM that is off, and one whose node is out of reach, get no ticket', () => {
    it.world.report(it.vmId, it.nodeId, 'stopped')
    expect(() => issue()).toThrow(expect.objectContaining({ code: 'STATE_CONFLICT' }) as Error)
    it.world.report(it.vmId, it.nodeId, 'running')
    issue()
    it.cut.value = true
    it.time.ms += 100
    expect(() => it.second.consoles.issue(it.caller, 'web', {}, write)).toThrow(expect.objectContaining({ code: 'PEER_UNREACHABLE' }) as Error)
  })

  test('a screen has eight viewers at most, and room again when one leaves', async () => {
    const open = async () => (await redeem(issue({ type: 'screen' }).ticket, it.first, { type: 'screen' })).open(write.signal)
    const streams = await Promise.all(Array.from({ length: 8 }, open))
    await refused(open(), 'CONSOLE_BUSY', /8 viewers/)
    streams[3]!.abort()
    streams[3]!.abort()
    await open()
    await refused(open(), 'CONSOLE_BUSY')
  })
})
