// What a lab remembers in DIR/lab.json: its id, subnet, hosts and cuts, so that every command and a later `up` find the same lab.
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from './lab-error.ts'

export type LabHost = {
  /** DNS label: `node1`… */
  readonly name: string
  /** IPv4 address on the lab's switch; the same for ever. */
  readonly address: string
  /** Position in the lab from 1; gives address and MAC. */
  readonly index: number
}

export type LabState = {
  readonly version: 1
  /** Absolute path, links resolved. */
  readonly dir: string
  /** Six hexadecimal digits; part of every name that the lab takes on the machine. */
  readonly id: string
  /** First three numbers of the /24, as `10.64.3`. */
  readonly subnet: string
  /** HTTPS port of every daemon. */
  readonly port: number
  readonly hosts: readonly LabHost[]
  /** Groups of host names that cannot reach one another; empty when healed. */
  readonly partition: readonly (readonly string[])[]
  /** So many of the hosts, the first ones, form the cluster; the others run as appliances in none. Absent: all. */
  readonly joined?: number
}

export const hostsMax = 32

export function hostDirectory(dir: string, name: string): string {
  return join(dir, name)
}

/** Files of the lab beside `lab.json`. The token and the password are mode 0600. */
export function labFiles(dir: string) {
  return {
    state: join(dir, 'lab.json'),
    lock: join(dir, 'lab.lock'),
    foreground: join(dir, 'foreground.lock'),
    token: join(dir, 'token'),
    password: join(dir, 'admin-password'),
    ca: join(dir, 'ca.pem'),
    tiny: join(dir, 'tiny.qcow2'),
  } as const
}

/** The id that a directory gives; `attempt` leads to another one where that is taken. */
export function labId(dir: string, attempt: number): string {
  return createHash('sha256').update(`${dir}\n${attempt}`).digest('hex').slice(0, 6)
}

/** The lab in `dir`, or undefined where none was made. @throws LabError if the file is damaged. */
export function readLab(dir: string): LabState | undefined {
  const path = labFiles(dir).state
  if (!existsSync(path)) return undefined
  const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (!isLabState(parsed)) throw new LabError('failed', `${path} is not a lab's state; remove the directory with 'novacron lab down --purge'`)
  // The directory may have been moved; names on the machine stay those of the id.
  return { ...parsed, dir }
}

/** @throws LabError `notFound` where there is no lab. */
export function requireLab(dir: string): LabState {
  const lab = readLab(dir)
  if (lab === undefined) throw new LabError('notFound', `there is no lab in ${dir}; 'novacron lab up --dir ${dir}' makes one`)
  return lab
}

/** @throws LabError `notFound` for a name that is no host. */
export function requireHost(lab: LabState, name: string): LabHost {
  const host = lab.hosts.find((candidate) => candidate.name === name)
  if (host === undefined) throw new LabError('notFound', `there is no host ${name}; the lab has ${lab.hosts.map((each) => each.name).join(', ')}`)
  return host
}

export function writeLab(lab: LabState): void {
  writeWhole(labFiles(lab.dir).state, `${JSON.stringify(lab, null, 2)}\n`, 0o644)
}

/** Replaces a file as a whole, so that a reader never sees half of it. */
export function writeWhole(path: string, text: string, mode: number): void {
  writeFileSync(`${path}.new`, text, { mode })
  chmodSync(`${path}.new`, mode)
  renameSync(`${path}.new`, path)
}

/** The lab with hosts up to `count`; never fewer than it has. */
export function withHosts(lab: LabState, count: number): LabState {
  if (!Number.isInteger(count) || count < 1 || count > hostsMax) throw new LabError('usage', `--nodes takes 1 to ${hostsMax}`)
  const hosts = [...lab.hosts]
  for (let index = hosts.length + 1; index <= count; index++) hosts.push({ name: `node${index}`, address: `${lab.subnet}.${10 + index}`, index })
  return { ...lab, hosts }
}

export function hostUrl(lab: LabState, host: LabHost): string {
  return `https://${host.address}:${lab.port}`
}

function isLabState(value: unknown): value is LabState {
  if (typeof value !== 'object' || value === null) return false
  const lab = value as Partial<LabState>
  return (
    lab.version === 1 && typeof lab.id === 'string' && /^[0-9a-f]{6}$/.test(lab.id) && typeof lab.subnet === 'string' &&
    typeof lab.port === 'number' && Array.isArray(lab.hosts) && Array.isArray(lab.partition)
  )
}
