// The rival that is measured beside: etcd from the distribution, some members on loopback, all on the disk that we are on.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, openSync, readFileSync } from 'node:fs'
import { request } from 'node:https'
import { request as plainRequest } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export type Etcd = {
  readonly version: string
  readonly pids: readonly number[]
  /** Client URLs, the leader's first. */
  readonly urls: readonly string[]
  /** Client URL of who leads now. @throws Error where nobody does */
  leader(): Promise<string>
  /** SIGKILL of the member with that client URL; resolves once it is dead. */
  kill(url: string): Promise<void>
  /** Starts it again on its data; resolves when it is healthy. */
  revive(url: string): Promise<void>
  stop(): Promise<void>
}
export type EtcdOptions = {
  readonly directory: string
  readonly members: number
  /** Where clients have to come by TLS; with `peers`, members talk by mutual TLS too. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly ca: string; readonly peers?: boolean; readonly caFile?: string }
}

const healthyTimeoutMs = 30_000

/** @throws Error that says what is missing and how to get it */
export function requireEtcd(): string {
  try {
    return /etcd Version: (\S+)/.exec(execFileSync('etcd', ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown'
  } catch (cause) {
    throw new Error('The rival etcd is not on this machine: nothing is measured without it. On Debian and Ubuntu: apt-get install etcd-server etcd-client', { cause })
  }
}

/** Starts the members and returns when each says that it is healthy, which takes a leader. */
export async function startEtcd(options: EtcdOptions): Promise<Etcd> {
  const version = requireEtcd()
  const ports = await freePorts(options.members * 2)
  const scheme = options.tls === undefined ? 'http' : 'https'
  const members = Array.from({ length: options.members }, (_, at) => ({
    name: `m${at}`, client: `${scheme}://127.0.0.1:${ports[at * 2]}`, peer: `${options.tls?.peers === true ? 'https' : 'http'}://127.0.0.1:${ports[at * 2 + 1]}`,
  }))
  const cluster = members.map((member) => `${member.name}=${member.peer}`).join(',')
  const children = members.map((member) => spawnMember(member, cluster, options))
  const stop = async (): Promise<void> => {
    await Promise.all(children.map(endChild))
  }
  try {
    const deadlineMs = performance.now() + healthyTimeoutMs
    await Promise.all(members.map((member) => awaitHealthy(member.client, options, deadlineMs)))
    const leader = await leaderOf(members.map((member) => member.client), options)
    const urls = [leader, ...members.map((member) => member.client).filter((url) => url !== leader)]
    const at = (url: string): number => members.findIndex((member) => member.client === url)
    return {
      version, pids: children.map((child) => child.pid ?? 0), urls, stop,
      leader: () => leaderOf(members.map((member) => member.client), options),
      kill: (url) => endChild(children[at(url)]!),
      async revive(url) {
        children[at(url)] = spawnMember(members[at(url)]!, cluster, options)
        await awaitHealthy(url, options, performance.now() + healthyTimeoutMs)
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function spawnMember(member: { readonly name: string; readonly client: string; readonly peer: string }, cluster: string, options: EtcdOptions): ChildProcess {
  const directory = join(options.directory, `etcd-${member.name}`)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const log = openSync(`${directory}.log`, 'a')
  const tls = options.tls === undefined ? [] : ['--cert-file', options.tls.certFile, '--key-file', options.tls.keyFile]
  const peerTls = options.tls?.peers === true
    ? ['--peer-cert-file', options.tls.certFile, '--peer-key-file', options.tls.keyFile, '--peer-trusted-ca-file', options.tls.caFile ?? '', '--peer-client-cert-auth']
    : []
  return spawn('etcd', [
    '--name', member.name, '--data-dir', directory, '--listen-client-urls', member.client, '--advertise-client-urls', member.client,
    '--listen-peer-urls', member.peer, '--initial-advertise-peer-urls', member.peer, '--initial-cluster', cluster,
    '--initial-cluster-state', 'new', '--initial-cluster-token', `bench-${process.pid}`, '--logger', 'zap', ...tls, ...peerTls,
  ], { stdio: ['ignore', log, log], env: { PATH: process.env.PATH ?? '' } })
}

async function awaitHealthy(url: string, options: EtcdOptions, deadlineMs: number): Promise<void> {
  for (;;) {
    const answer = await ask(`${url}/health`, null, options).catch(() => null)
    if (answer !== null && JSON.parse(answer).health === 'true') return
    if (performance.now() > deadlineMs) throw new Error(`etcd at ${url} did not become healthy; the end of its log:\n${readFileSync(join(options.directory, 'etcd-m0.log'), 'utf8').slice(-1000)}`)
    await delay(20)
  }
}

async function leaderOf(urls: readonly string[], options: EtcdOptions): Promise<string> {
  for (const url of urls) {
    const { header, leader } = JSON.parse(await ask(`${url}/v3/maintenance/status`, '{}', options)) as { header: { member_id: string }; leader?: string }
    if (header.member_id === leader) return url
  }
  throw new Error('etcd has no leader')
}

/** One call of etcd's JSON gateway: POST with a body, else GET. */
async function ask(url: string, body: string | null, options: Pick<EtcdOptions, 'tls'>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const begin = url.startsWith('https:') ? request : plainRequest
  const call = begin(url, { method: body === null ? 'GET' : 'POST', agent: false, timeout: 2000, ...(options.tls === undefined ? {} : { ca: options.tls.ca }) }, (response) => {
    let text = ''
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    response.on('end', () => resolve(text))
    response.on('error', reject)
  })
  call.on('timeout', () => call.destroy(new Error('no answer')))
  call.on('error', reject)
  call.end(body ?? undefined)
  return await promise
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return server
  }))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
