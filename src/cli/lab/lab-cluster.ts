// Makes one cluster of a lab's hosts by the same commands a person would type, and waits until it is healthy.
import { existsSync, readFileSync } from 'node:fs'
import { hostPaths } from './host-files.ts'
import { LabError } from './lab-error.ts'
import { lastLines, programPath, waitFor } from './lab-host.ts'
import { getFromNode } from './lab-http.ts'
import { hostUrl, labFiles, writeWhole, type LabHost, type LabState } from './lab-state.ts'
import { runCommand } from './system-command.ts'

/** How `up` speaks and how long it may go on. */
export type Effort = {
  readonly signal?: AbortSignal | undefined
  /** Milliseconds left for all that is still to be done. */
  readonly remainingMs: () => number
  readonly progress: (text: string) => void
}

/** What opens the lab's API. */
export type LabAccess = { readonly token: string; readonly ca: string }

/** Token and CA kept in the lab's directory, or undefined before the cluster is formed. */
export function readAccess(lab: LabState): LabAccess | undefined {
  const files = labFiles(lab.dir)
  if (!existsSync(files.token) || !existsSync(files.ca)) return undefined
  return { token: readFileSync(files.token, 'utf8').trim(), ca: readFileSync(files.ca, 'utf8') }
}

/** Waits until the host's daemon answers at all. */
export async function awaitDaemon(lab: LabState, host: LabHost, effort: Effort): Promise<void> {
  const log = hostPaths(lab, host.name).daemonLog
  try {
    await waitFor(`the daemon on ${host.name}`, { timeoutMs: effort.remainingMs(), signal: effort.signal }, async () => (await probe(`${hostUrl(lab, host)}/healthz`)) === 200)
  } catch (cause) {
    throw new LabError('failed', `${cause instanceof Error ? cause.message : String(cause)}; the end of ${log}:\n${lastLines(log)}`, cause)
  }
}

/** Forms the cluster on the first host if that was not done yet, then joins every host that is to be a member and was not removed. */
export async function formCluster(lab: LabState, effort: Effort): Promise<{ readonly access: LabAccess; readonly members: readonly LabHost[] }> {
  const access = readAccess(lab) ?? (await initCluster(lab, effort))
  const known = await waitFor('the list of nodes', { timeoutMs: effort.remainingMs(), signal: effort.signal, everyMs: 200 }, () => listMembers(lab, access))
  const members = lab.hosts.filter((host) => memberOf(host, known) !== undefined)
  for (const host of lab.hosts.slice(0, lab.joined ?? lab.hosts.length)) {
    if (members.includes(host)) continue
    if (await wasRemoved(lab, host, effort)) {
      effort.progress(`${host.name} was removed from the cluster and is left alone`)
      continue
    }
    effort.progress(`${host.name} joins`)
    await joinHost(lab, { host, by: members[0] ?? firstHost(lab) }, effort)
    members.push(host)
  }
  return { access, members }
}

async function wasRemoved(lab: LabState, host: LabHost, effort: Effort): Promise<boolean> {
  const status = parseObject(await runNovacron(lab, host, ['node', 'status', '--socket', hostPaths(lab, host.name).controlSocket, '--json'], effort))
  return isRecord(status.removed)
}

/** Waits until every node says of itself that it is ready, and of all others too. */
export async function awaitHealthy(lab: LabState, access: LabAccess, effort: Effort): Promise<void> {
  await Promise.all(
    lab.hosts.map(async (host) => {
      const url = hostUrl(lab, host)
      await waitFor(`${host.name} to be ready`, { timeoutMs: effort.remainingMs(), signal: effort.signal, everyMs: 100 }, async () => (await probe(`${url}/readyz`, access.ca)) === 200)
      await waitFor(`${host.name} to see all nodes ready`, { timeoutMs: effort.remainingMs(), signal: effort.signal, everyMs: 200 }, async () => {
        const members = await membersSeenBy(url, access)
        return members !== undefined && lab.hosts.every((each) => memberOf(each, members)?.ready === true)
      })
    }),
  )
}

/** Makes image `tiny` usable on every node. The lab keeps the file it began with: a rebuilt image has another checksum. */
export async function loadTiny(lab: LabState, access: LabAccess, effort: Effort): Promise<void> {
  const first = firstHost(lab)
  const known = await waitFor('the list of nodes', { timeoutMs: effort.remainingMs(), signal: effort.signal, everyMs: 200 }, () => listMembers(lab, access))
  const isHeld = (host: LabHost, holders: readonly string[]) => holders.includes(memberOf(host, known)?.name ?? host.name)
  const held = await imageHolders(hostUrl(lab, first), access)
  if (held.length === 0) {
    effort.progress('image tiny → every node')
    await runNovacron(lab, first, ['image', 'import', 'tiny', labFiles(lab.dir).tiny, '--copies', 'all'], effort)
  } else if (lab.hosts.some((host) => !isHeld(host, held))) {
    await runNovacron(lab, first, ['image', 'set', 'tiny', '--copies', 'all'], effort)
  }
  await Promise.all(
    lab.hosts.map(async (host) => {
      await waitFor(`image tiny on ${host.name}`, { timeoutMs: effort.remainingMs(), signal: effort.signal, everyMs: 100 }, async () => {
        const holders = await imageHolders(hostUrl(lab, host), access)
        return lab.hosts.every((each) => isHeld(each, holders))
      })
    }),
  )
}

/** Runs the `novacron` command as the lab's administrator against one host. @returns its standard output. */
export async function runNovacron(lab: LabState, host: LabHost, args: readonly string[], effort: Effort): Promise<string> {
  return await runCommand(programPath, args, { env: novacronEnvironment(lab, host), timeoutMs: Math.max(1, effort.remainingMs()), signal: effort.signal })
}

/** The environment in which `novacron` talks to a host of the lab. */
export function novacronEnvironment(lab: LabState, host: LabHost): NodeJS.ProcessEnv {
  const access = readAccess(lab)
  return {
    ...process.env,
    NOVACRON_URL: hostUrl(lab, host),
    ...(access === undefined ? {} : { NOVACRON_TOKEN: access.token, NOVACRON_CA: labFiles(lab.dir).ca }),
  }
}

async function initCluster(lab: LabState, effort: Effort): Promise<LabAccess> {
  const first = firstHost(lab)
  effort.progress(`${first.name} founds the cluster`)
  const answer = parseObject(await runNovacron(lab, first, ['cluster', 'init', '--socket', hostPaths(lab, first.name).controlSocket, '--json'], effort))
  const files = labFiles(lab.dir)
  // The password is shown once by `cluster init`; the token comes last, because its presence says that the cluster is formed.
  writeWhole(files.password, `${textField(answer, 'adminPassword')}\n`, 0o600)
  writeWhole(files.ca, textField(answer, 'caCertificate'), 0o644)
  writeWhole(files.token, `${textField(answer, 'token')}\n`, 0o600)
  return { token: textField(answer, 'token'), ca: textField(answer, 'caCertificate') }
}

async function joinHost(lab: LabState, { host, by }: { readonly host: LabHost; readonly by: LabHost }, effort: Effort): Promise<void> {
  const created = parseObject(await runNovacron(lab, by, ['cluster', 'token', 'create', '--json'], effort))
  await runNovacron(lab, host, ['cluster', 'join', textField(created, 'token'), '--socket', hostPaths(lab, host.name).controlSocket], effort)
}

type Member = { readonly name: string; readonly addresses: readonly string[]; readonly ready: boolean }

/** A node may have got another name than its host; its address is the host's for good. */
function memberOf(host: LabHost, members: readonly Member[]): Member | undefined {
  return members.find((member) => member.addresses.includes(host.address)) ?? members.find((member) => member.name === host.name && member.addresses.length === 0)
}

// Any node that answers will do; the first may be the one that is still catching up.
async function listMembers(lab: LabState, access: LabAccess): Promise<readonly Member[] | undefined> {
  for (const host of lab.hosts) {
    const members = await membersSeenBy(hostUrl(lab, host), access)
    if (members !== undefined && members.length > 0) return members
  }
  return undefined
}

async function membersSeenBy(url: string, access: LabAccess): Promise<readonly Member[] | undefined> {
  const body = await getBody(`${url}/api/v1/nodes?limit=1000`, access)
  if (!isRecord(body) || !Array.isArray(body.items)) return undefined
  // Whose libvirtd is not known to answer yet takes no VM.
  const isReady = (status: unknown) => isRecord(status) && status.ready === true && status.accelerator !== '' && status.accelerator !== 'none'
  const addressesOf = (status: unknown) => (isRecord(status) && Array.isArray(status.addresses) ? status.addresses.map(String) : [])
  return body.items.filter(isRecord).map((item) => ({ name: String(item.name), addresses: addressesOf(item.status), ready: isReady(item.status) }))
}

async function imageHolders(url: string, access: LabAccess): Promise<readonly string[]> {
  const body = await getBody(`${url}/api/v1/images/tiny`, access)
  if (!isRecord(body) || !isRecord(body.status) || !Array.isArray(body.status.nodes)) return []
  return body.status.nodes.map(String)
}

/** @throws LabError where a node that is ready does not take the lab's token: then it never will */
async function getBody(url: string, access: LabAccess): Promise<unknown> {
  const answer = await getFromNode({ url, token: access.token, ca: access.ca }).catch(() => undefined)
  if (answer?.status === 200) return answer.body
  // Not yet, or not this one: the caller asks again until its time is over. Who has just joined may not know the token yet.
  if (answer?.status !== 401 || (await probe(`${new URL(url).origin}/readyz`, access.ca)) !== 200) return undefined
  throw new LabError('failed', "the cluster does not take the lab's token any more: it was revoked. Make another one (novacron token create) and write it to the file 'token' in the lab's directory")
}

/** HTTP status of a GET, or 0 without an answer. */
export async function probe(url: string, ca?: string): Promise<number> {
  try {
    return (await getFromNode({ url, ca, timeoutMs: 2000 })).status
  } catch {
    return 0
  }
}

function firstHost(lab: LabState): LabHost {
  const [first] = lab.hosts
  if (first === undefined) throw new LabError('failed', 'the lab has no hosts')
  return first
}

function parseObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  if (!isRecord(value)) throw new LabError('failed', `expected a JSON object, got: ${text.slice(0, 200)}`)
  return value
}

function textField(object: Record<string, unknown>, key: string): string {
  const value = object[key]
  if (typeof value !== 'string' || value === '') throw new LabError('failed', `the answer lacks ${key}`)
  return value
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
