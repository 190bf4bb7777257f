// Whom the commands talk to: the environment first, then the profile that "novacron login" made.
import { readFileSync } from 'node:fs'
import type { Connection } from './client.ts'
import { usageFailure, type Io } from './io.ts'
import { chosenProfile } from './profiles.ts'

/** @throws a usage Failure where no server is named, or what is named makes no sense */
export function resolveConnection(env: Io['env']): Connection {
  const [fromUrl, fromToken, fromCa] = [env['NOVACRON_URL'], env['NOVACRON_TOKEN'], env['NOVACRON_CA']].map((text) => (text === undefined || text === '' ? null : text))
  // With everything said by the environment a broken profile does not matter.
  const chosen = fromUrl !== null && fromUrl !== undefined && fromToken !== null ? null : chosenProfile(env)
  const url = fromUrl ?? chosen?.profile.url
  if (url === undefined) throw usageFailure('No server is known: set NOVACRON_URL (and NOVACRON_TOKEN, NOVACRON_CA), or sign in by "novacron login URL".')
  const parsed = parseUrl(url)
  // A token is shown to nobody but the server that it was made by.
  const same = chosen !== null && parseUrl(chosen.profile.url).origin === parsed.origin
  return {
    url: parsed,
    token: fromToken ?? (same ? chosen.profile.token : null),
    ca: fromCa === null || fromCa === undefined ? (same ? chosen.profile.ca : null) : readCa(fromCa),
  }
}

/** Whether a server is named by the environment or a profile; one named wrongly counts. */
export function isServerKnown(env: Io['env']): boolean {
  if ((env['NOVACRON_URL'] ?? '') !== '') return true
  return chosenProfile(env) !== null
}

/** @throws a usage Failure for what is no https URL; a bare `host:port` is taken as one */
export function parseUrl(text: string): URL {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`
  let url: URL
  try {
    url = new URL(withScheme)
  } catch {
    throw usageFailure(`${text} is no URL like https://10.0.0.1:8443.`)
  }
  if (url.protocol !== 'https:') throw usageFailure(`${text} is not https: NovaCron speaks TLS only.`)
  return url
}

/** @throws a usage Failure where it cannot be read */
export function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw usageFailure(`The CA file ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`)
  }
}
