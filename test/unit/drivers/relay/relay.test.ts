// The relay processes over a real link: whom they let in, that bytes arrive whole, and how fast a cut is told.
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority, issueCertificate } from '../../../../src/drivers/crypto/authority.ts'
import { createTlsKey, type CertificateAndKey } from '../../../../src/drivers/crypto/certificate.ts'
import { systemClock } from '../../../../src/drivers/host/clock.ts'
import { socketPaths, type RelayTls, type Report } from '../../../../src/drivers/relay/messages.ts'
import { RelayProcess } from '../../../../src/drivers/relay/relay.ts'
import { runRelay } from '../../../../src/drivers/relay/relay-process.ts'
import type { Log } from '../../../../src/ports/log.ts'

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent }
const never = new AbortController().signal
const directory = mkdtempSync(join(tmpdir(), 'nc-relay-'))
const [alpha, beta, gamma] = [randomUUID(), randomUUID(), randomUUID()]
const names: ReadonlyMap<string, string> = new Map([[alpha, 'alpha'], [beta, 'beta'], [gamma, 'gamma']])
const relays: RelayProcess[] = []
const servers: Server[] = []
let authority: CertificateAndKey
let libvirt: string

async function tlsOf(name: string, nodeId: string | null, by = authority): Promise<RelayTls> {
  const key = await createTlsKey()
  const certPem = await issueCertificate({
    caCertificatePem: by.certificatePem, caKeyPem: by.keyPem, key: { kind: 'publicKey', pem: key.publicKeyPem }, commonName: name, names: [name], addresses: [],
    days: 1, nowMs: Date.now(), ...(nodeId === null ? {} : { nodeId }),
  })
  return { certPem, keyPem: key.keyPem, caPem: by.certificatePem }
}

function relayOf(name: string, tls: RelayTls): RelayProcess {
  const options = { listen: { host: '127.0.0.1', port: 0 }, advertise: '127.0.0.1', directory: join(directory, name), libvirtSocket: libvirt }
  const relay = new RelayProcess(options, { clock: systemClock, log: silent, tls: () => tls, memberName: (nodeId) => names.get(nodeId) ?? null, emulatorOwner: async () => null })
  relays.push(relay)
  return relay
}

async function serve(path: string, onConnection: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, onConnection)
  servers.push(server)
  server.listen(path)
  await once(server, 'listening')
}

const legOf = () => ({ operationId: randomUUID(), vmId: randomUUID() })
/** Unlike `once` it does not mind how it ended. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => void socket.on('error', () => {}).once('close', () => resolve()))
const until = async (condition: () => boolean): Promise<void> => {
  const deadlineMs = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('waited in vain')
    await new Promise((resolve) => void setTimeout(resolve, 10))
  }
}

beforeAll(async () => {
  authority = await createAuthority({ clusterName: 'one', nowMs: Date.now() })
  libvirt = join(directory, 'libvirt.sock')
  await serve(libvirt, (socket) => socket.on('error', () => {}).pipe(socket))
})
afterAll(async () => {
  for (const relay of relays) await relay.stop()
  for (const server of servers) server.close()
  rmSync(directory, { recursive: true, force: true })
})

describe('two relays', () => {
  const pair = async (options: { readonly source?: RelayTls; readonly target?: RelayTls } = {}) => {
    const id = randomUUID().slice(0, 8)
    return {
      source: relayOf(`a-${id}`, options.source ?? (await tlsOf('alpha', alpha))), target: relayOf(`b-${id}`, options.target ?? (await tlsOf('beta', beta))),
      targetDirectory: join(directory, `b-${id}`),
    }
  }

  it('carries bytes whole, both ways and with their ends, counts them, and leaves nothing when closed', async () => {
    const { source, target, targetDirectory } = await pair()
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    expect(await target.accept({ ...leg, fromNodeId: alpha })).toEqual({ address })
    const cuts: string[] = []
    for (const relay of [source, target]) relay.onCut((operationId, reason) => void cuts.push(`${operationId} ${reason}`))
    const sockets = await source.connect({ ...leg, toNodeId: beta, address }, never)
    const sent = randomBytes(8 * 2 ** 20)
    const echo = connect({ path: sockets.control, allowHalfOpen: true })
    const received: Buffer[] = []
    echo.on('data', (chunk: Buffer) => void received.push(chunk))
    echo.end(sent)
    await once(echo, 'end')
    expect(Buffer.concat(received).equals(sent)).toBe(true)

    // What a source of memory does: it writes, closes, and is gone before the other side has read it all.
    const arrived: Buffer[] = []
    let ended = false
    await serve(socketPaths(join(targetDirectory, leg.operationId)).memory, (socket) => {
      socket.pause()
      setTimeout(() => socket.resume(), 300)
      socket.on('data', (chunk: Buffer) => void arrived.push(chunk))
      socket.on('end', () => {
        ended = true
        socket.end()
      })
    })
    const memory = connect({ path: sockets.memory })
    memory.end(sent, () => memory.destroy())
    await until(() => ended)
    expect(Buffer.concat(arrived).equals(sent)).toBe(true)
    await until(() => source.use(leg.operationId)?.bytesSent === 2 * sent.length && target.use(leg.operationId)?.bytesReceived === 2 * sent.length)

    await source.close(leg.operationId)
    await source.close(leg.operationId)
    await target.close(leg.operationId)
    expect([source.use(leg.operationId), target.use(leg.operationId)]).toEqual([null, null])
    expect(existsSync(sockets.control)).toBe(false)
    expect(readdirSync(targetDirectory)).toEqual([])
    expect(cuts).toEqual([])
  })

  it('does not read faster than the other side takes', async () => {
    const { source, target, targetDirectory } = await pair()
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    const sockets = await source.connect({ ...leg, toNodeId: beta, address }, never)
    await serve(socketPaths(join(targetDirectory, leg.operationId)).disks, (socket) => socket.on('error', () => {}).pause())
    const disks = connect({ path: sockets.disks })
    disks.on('error', () => {})
    const chunk = randomBytes(2 ** 20)
    let written = 0
    const write = (): void => {
      while (written < 256 && disks.write(chunk)) written++
      written++
      if (written < 256) disks.once('drain', write)
    }
    write()
    let before = -1
    await until(() => {
      const stands = before === written
      before = written
      return stands && written > 2
    })
    await new Promise((resolve) => void setTimeout(resolve, 500))
    expect(written).toBeLessThan(64)
    await source.close(leg.operationId)
    await target.close(leg.operationId)
  })

  it.each([
    ['a certificate of another authority', async () => tlsOf('alpha', alpha, await createAuthority({ clusterName: 'one', nowMs: Date.now() }))],
    ['another member', () => tlsOf('gamma', gamma)],
    ['another member that took the name', () => tlsOf('alpha', gamma)],
    ['an old certificate of another name', () => tlsOf('gamma', null)],
    ['a name that looks like two', () => tlsOf('alpha', null).then(async () => tlsOf(`x, URI:urn:novacron:node:${alpha}`, null))],
  ])('the target refuses %s', async (_, tls) => {
    const { source, target } = await pair({ source: await tls() })
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    await expect(source.connect({ ...leg, toNodeId: beta, address }, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  })

  it('the source refuses a target that is another member, and one of another authority', async () => {
    for (const tls of [await tlsOf('gamma', gamma), await tlsOf('beta', beta, await createAuthority({ clusterName: 'one', nowMs: Date.now() }))]) {
      const { source, target } = await pair({ target: tls })
      const leg = legOf()
      const { address } = await target.accept({ ...leg, fromNodeId: alpha })
      await expect(source.connect({ ...leg, toNodeId: beta, address }, never)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
    }
  })

  it('takes a certificate of before ids were written into them, by its name', async () => {
    const { source, target } = await pair({ source: await tlsOf('alpha', null), target: await tlsOf('beta', null) })
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    await source.connect({ ...leg, toNodeId: beta, address }, never)
  })

  it('refuses operations it does not expect, those that were closed, and nodes that are no members', async () => {
    const { source, target } = await pair()
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    await expect(source.connect({ ...legOf(), toNodeId: beta, address }, never)).rejects.toThrow(/is expected here/)
    await target.close(leg.operationId)
    await expect(source.connect({ ...leg, toNodeId: beta, address }, never)).rejects.toThrow(/is expected here/)
    await expect(target.accept({ ...leg, fromNodeId: randomUUID() })).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
    await expect(target.accept({ ...leg, operationId: '../../etc', fromNodeId: alpha })).rejects.toMatchObject({ code: 'INVALID' })
  })

  it('lets nobody in without a certificate, and drops what it does not understand', async () => {
    const { target } = await pair()
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    const port = Number(address.split(':')[1])
    const ended = async (options: object, text: string): Promise<string> => {
      const socket = connectTls({ host: '127.0.0.1', port, ca: authority.certificatePem, checkServerIdentity: () => undefined, ...options })
      let said = ''
      socket.on('data', (chunk: Buffer) => void (said += chunk.toString()))
      socket.write(text)
      await closed(socket)
      return said
    }
    const { certPem: cert, keyPem: key } = await tlsOf('alpha', alpha)
    const hello = (channel: string) => `${JSON.stringify({ version: 1, operationId: leg.operationId, channel })}\n`
    expect(await ended({}, hello('pulse'))).toBe('')
    expect(await ended({ cert, key }, 'GET / HTTP/1.1\r\n\r\n')).toBe('')
    expect(await ended({ cert, key }, 'x'.repeat(2_000))).toBe('')
    expect(await ended({ cert, key }, hello('memory'))).toBe('')
    expect(await ended({ cert, key }, hello('shell'))).toBe('')
  })

  it('tells a cut on both sides at once when a process dies, and goes on with a new one', async () => {
    const { source, target } = await pair()
    for (const victim of [source, target]) {
      const leg = legOf()
      const { address } = await target.accept({ ...leg, fromNodeId: alpha })
      const sockets = await source.connect({ ...leg, toNodeId: beta, address }, never)
      const held = connect({ path: sockets.control })
      await once(held, 'connect')
      const heldClosed = closed(held)
      const cuts = [source, target].map((relay) => new Promise<void>((resolve) => void relay.onCut((operationId) => operationId === leg.operationId && resolve())))
      const beganMs = performance.now()
      process.kill(victim.pid!, 'SIGKILL')
      await Promise.all([...cuts, heldClosed])
      expect(performance.now() - beganMs).toBeLessThan(1_000)
      await source.close(leg.operationId)
      await target.close(leg.operationId)
    }
  })

  it('tells the source that the target let go', async () => {
    const { source, target } = await pair()
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    await source.connect({ ...leg, toNodeId: beta, address }, never)
    const cut = new Promise<string>((resolve) => void source.onCut((_, reason) => resolve(reason)))
    await target.close(leg.operationId)
    expect(await cut).toBe('the other host let go of it')
    await source.close(leg.operationId)
  })

  it('gives up a source that stopped answering', async () => {
    const { source, target } = await pair()
    const leg = legOf()
    const { address } = await target.accept({ ...leg, fromNodeId: alpha })
    await source.connect({ ...leg, toNodeId: beta, address }, never)
    const cut = new Promise<string>((resolve) => void target.onCut((operationId, reason) => operationId === leg.operationId && resolve(reason)))
    const beganMs = performance.now()
    process.kill(source.pid!, 'SIGSTOP')
    expect(await cut).toMatch(/nothing was heard/)
    expect(performance.now() - beganMs).toBeLessThan(4_000)
    process.kill(source.pid!, 'SIGKILL')
  })

  it('gives up connecting when it is told to', async () => {
    const { source } = await pair()
    const silentServer = createServer()
    servers.push(silentServer)
    silentServer.listen(0, '127.0.0.1')
    await once(silentServer, 'listening')
    const { port } = silentServer.address() as { port: number }
    const abort = new AbortController()
    const connecting = source.connect({ ...legOf(), toNodeId: beta, address: `127.0.0.1:${port}` }, abort.signal)
    await once(silentServer, 'connection')
    abort.abort(new Error('cancelled'))
    await expect(connecting).rejects.toThrow('cancelled')
  })

  it('ends after a while without work, and not before', async () => {
    const input = new PassThrough()
    const reports: Report[] = []
    const running = runRelay(input, (report) => void reports.push(report), 500)
    const beganMs = performance.now()
    setTimeout(() => input.write(`${JSON.stringify({ kind: 'close', request: 7, operationId: randomUUID() })}\n`), 300)
    await running
    expect(performance.now() - beganMs).toBeGreaterThan(750)
    expect(reports).toEqual([{ kind: 'done', request: 7 }])
  })

  it('ends with the daemon that owns it', async () => {
    const { target } = await pair()
    await target.accept({ ...legOf(), fromNodeId: alpha })
    const pid = target.pid!
    await target.stop()
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    await expect(target.accept({ ...legOf(), fromNodeId: alpha })).rejects.toMatchObject({ code: 'STOPPING' })
  })
})
