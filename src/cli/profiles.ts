// Profiles: the clusters a person has signed in to, kept in ~/.config/novacron with mode 0600.
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Failure, usageFailure, type Io } from './io.ts'

export type Profile = {
  readonly url: string
  readonly user: string
  readonly token: string
  readonly tokenId: string
  /** PEM; null where the system's authorities do. */
  readonly ca: string | null
}
export type Profiles = { readonly current: string | null; readonly profiles: Readonly<Record<string, Profile>> }

const none: Profiles = { current: null, profiles: {} }

export function profilesPath(env: Io['env']): string {
  const base = env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? homedir(), '.config')
  return join(base, 'novacron', 'profiles.json')
}

/** @throws Failure where the file is there but cannot be read */
export function readProfiles(env: Io['env']): Profiles {
  const path = profilesPath(env)
  try {
    return parseProfiles(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) return none
    throw new Failure(1, 'FAILED', `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`, { cause })
  }
}

/** Replaces the file as a whole; nobody else may read it, as it holds tokens. */
export function writeProfiles(env: Io['env'], profiles: Profiles): void {
  const path = profilesPath(env)
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 })
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(profiles, null, 2)}\n`, { mode: 0o600 })
  chmodSync(draft, 0o600)
  renameSync(draft, path)
}

/** The profile of that name, else NOVACRON_PROFILE's, else the current one; null where there is none. @throws a usage Failure for an unknown name */
export function chosenProfile(env: Io['env']): { readonly name: string; readonly profile: Profile } | null {
  const { current, profiles } = readProfiles(env)
  const asked = env['NOVACRON_PROFILE'] ?? current
  if (asked === null || asked === '') return null
  const profile = Object.hasOwn(profiles, asked) ? profiles[asked] : undefined
  if (profile === undefined) throw usageFailure(`There is no profile ${asked}. "novacron profile list" shows those there are.`)
  return { name: asked, profile }
}

function parseProfiles(value: unknown): Profiles {
  const { current, profiles } = recordOf(value)
  const parsed = Object.entries(recordOf(profiles)).map(([name, each]): [string, Profile] => {
    const { url, user, token, tokenId, ca } = recordOf(each)
    if (typeof url !== 'string' || typeof token !== 'string') throw new Error(`profile ${name} is incomplete`)
    return [name, { url, token, user: typeof user === 'string' ? user : '', tokenId: typeof tokenId === 'string' ? tokenId : '', ca: typeof ca === 'string' ? ca : null }]
  })
  return { current: typeof current === 'string' ? current : null, profiles: Object.fromEntries(parsed) }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new Error('it is not the JSON that was written')
  return value as Readonly<Record<string, unknown>>
}
