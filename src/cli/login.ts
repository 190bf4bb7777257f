// `novacron login`, `logout`, `profile`: signing in once and keeping an API token for later commands.
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Command } from 'commander'
import { Client } from './client.ts'
import { Failure, usageFailure } from './io.ts'
import { integerBetween, nouns, pathOf } from './nouns.ts'
import { escapeText, renderTable, textAt } from './output.ts'
import { chosenProfile, readProfiles, writeProfiles, type Profile } from './profiles.ts'
import { askLine, askPassword, readInputLines } from './prompt.ts'
import { parseUrl, readCa } from './settings.ts'
import { withExample, withJson, type Shell } from './shell.ts'
import { createToken } from './token.ts'

const sessionPath = '/api/v1/session'

type LoginOptions = { readonly ca?: string; readonly user?: string; readonly passwordStdin?: true; readonly profile?: string; readonly days?: number }

export function registerLogin(program: Command, shell: Shell): void {
  const login = program.command('login <url>').description('Sign in and keep an API token of this host in a profile')
    .option('--ca <file>', "the cluster's CA certificate")
    .option('--user <name>', 'user name; else it is asked for')
    .option('--password-stdin', 'read the password from standard input')
    .option('--profile <name>', "name of the profile (the URL's host)")
    .option('--days <n>', 'end the token after so many days', integerBetween(1, 3650))
    .action(async (url: string, options: LoginOptions) => {
      const { name, profile } = await signIn(shell, url, options)
      shell.answer({ profile: name, url: profile.url, user: profile.user }, () => `Signed in to ${escapeText(profile.url)} as ${escapeText(profile.user)}, profile ${escapeText(name)}.\n`)
    })
  withExample(withJson(login), 'novacron login https://10.0.0.1:8443 --ca cluster-ca.pem --user admin')
  const logout = program.command('logout').description('Revoke the token of the current profile and forget it').action(async () => signOut(shell))
  withExample(withJson(logout), 'novacron logout')
  registerProfile(program, shell)
}

async function signIn(shell: Shell, text: string, options: LoginOptions): Promise<{ readonly name: string; readonly profile: Profile }> {
  const url = parseUrl(text)
  const caPath = options.ca ?? shell.io.env['NOVACRON_CA']
  const ca = caPath === undefined || caPath === '' ? null : readCa(caPath)
  const name = options.profile ?? url.hostname.replaceAll(/[[\]]/g, '')
  const user = options.user ?? (await askLine(shell, 'User:', '--user'))
  const password = options.passwordStdin === true ? ((await readInputLines(shell))[0] ?? '') : await askPassword(shell, 'Password:')
  if (user === '' || password === '') throw usageFailure('User name and password may not be empty.')
  const client = shell.keep(new Client({ url, token: null, ca }))
  const { headers, body } = await client.write({ method: 'POST', path: sessionPath, body: { name: user, password } })
  const session = { Cookie: (headers['set-cookie'] ?? []).map((cookie) => cookie.split(';', 1)[0]).join('; '), 'X-CSRF-Token': textAt(body, 'csrf'), Origin: url.origin }
  try {
    const token = await createToken(client, { name: tokenName(), days: options.days, dryRun: false, headers: session })
    const profile = { url: url.origin, user: textAt(body, 'user', 'name'), token: textAt(token, 'secret'), tokenId: textAt(token, 'id'), ca }
    const former = keepProfile(shell, name, profile)
    // The profile's old token would otherwise live on unseen.
    if (former !== undefined && former.url === profile.url && former.tokenId !== '') await attempt(() => client.write({ method: 'DELETE', path: pathOf(nouns.token, former.tokenId), headers: session }))
    return { name, profile }
  } finally {
    await attempt(() => client.write({ method: 'DELETE', path: sessionPath, headers: session }))
  }
}

/** What may fail without changing the outcome. */
async function attempt(act: () => Promise<unknown>): Promise<void> {
  try {
    await act()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
  }
}

/** A DNS label that tells people where the token is. */
function tokenName(): string {
  const host = (hostname().split('.', 1)[0] ?? '').toLowerCase().replaceAll(/[^a-z0-9-]/g, '').replaceAll(/^-+|-+$/g, '').slice(0, 40)
  return `cli-${host === '' ? 'host' : host}-${randomBytes(4).toString('hex')}`
}

/** Keeps it as the current one. @returns what the name stood for before */
function keepProfile(shell: Shell, name: string, profile: Profile): Profile | undefined {
  const { profiles } = readProfiles(shell.io.env)
  writeProfiles(shell.io.env, { current: name, profiles: { ...profiles, [name]: profile } })
  return Object.hasOwn(profiles, name) ? profiles[name] : undefined
}

async function signOut(shell: Shell): Promise<void> {
  const chosen = chosenProfile(shell.io.env)
  if (chosen === null) throw usageFailure('No profile is in use.')
  const { name, profile } = chosen
  const { current, profiles } = readProfiles(shell.io.env)
  const left = Object.fromEntries(Object.entries(profiles).filter(([each]) => each !== name))
  writeProfiles(shell.io.env, { current: current === name ? null : current, profiles: left })
  const client = shell.keep(new Client({ url: parseUrl(profile.url), token: profile.token, ca: profile.ca }))
  try {
    await client.write({ method: 'DELETE', path: pathOf(nouns.token, profile.tokenId) })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    // Not valid any more, or not there: that is what was wanted.
    if (error.status !== 401 && error.status !== 404) throw new Failure(error.exitCode, error.code, `The profile is forgotten, but its token could not be revoked: ${error.message}`, { status: error.status, cause: error })
  }
  shell.answer({ profile: name, signedOut: true }, () => `Signed out of ${escapeText(profile.url)}.\n`)
}

function registerProfile(program: Command, shell: Shell): void {
  const profile = program.command('profile').description('The clusters this user has signed in to')
  const list = profile.command('list').alias('ls').description('List profiles').action(() => {
    const { current, profiles } = readProfiles(shell.io.env)
    const items = Object.entries(profiles).map(([name, { url, user }]) => ({ name, url, user, current: name === current }))
    shell.answer({ items, next: null }, () => renderTable(['', 'NAME', 'URL', 'USER'], items.map((item) => [{ text: item.current ? '*' : ' ' }, { text: item.name }, { text: item.url }, { text: item.user }]), shell.colours))
  })
  withExample(withJson(list), 'novacron profile list')
  const use = profile.command('use <name>').description('Make a profile the current one').action((name: string) => {
    const { profiles } = readProfiles(shell.io.env)
    if (!Object.hasOwn(profiles, name)) throw new Failure(3, 'NOT_FOUND', `There is no profile ${name}.`)
    writeProfiles(shell.io.env, { current: name, profiles })
    shell.answer({ profile: name }, () => `${escapeText(name)} is the current profile\n`)
  })
  withExample(withJson(use), 'novacron profile use berlin')
}
