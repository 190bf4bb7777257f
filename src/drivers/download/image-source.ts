// The ImageSource port over HTTP and HTTPS: each name resolved once, checked and pinned; redirects bounded and checked anew; ranges to go on.
import { lookup as dnsLookup } from 'node:dns/promises'
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { OperationalError } from '../../model/error.ts'
import type { ImageSource, OpenedSource } from '../../ports/image-source.ts'
import { AddressGuard } from './address-guard.ts'

const redirectsMax = 5
const connectMsMax = 15_000
/** Until the head of the answer, and between two pieces of the body. */
const silenceMsMax = 30_000
const headerBytesMax = 32 * 1024

export type HttpImageSourceOptions = {
  readonly allowPrivate: readonly string[]
  /** Addresses of the members, beside this host's own. */
  readonly members: () => readonly string[]
  /** For tests: resolves a name to all of its addresses. */
  readonly resolve?: (host: string) => Promise<readonly string[]>
  /** PEM; beside the system's authorities none by default. */
  readonly ca?: string
}

export class HttpImageSource implements ImageSource {
  readonly #guard: AddressGuard
  readonly #resolve: (host: string) => Promise<readonly string[]>
  readonly #ca: string | undefined

  /** @throws RangeError where a range of allowPrivate is none */
  constructor(options: HttpImageSourceOptions) {
    this.#guard = new AddressGuard({ allow: options.allowPrivate, own: () => [...hostAddresses(), ...options.members()] })
    this.#resolve = options.resolve ?? (async (host) => (await dnsLookup(host, { all: true })).map((entry) => entry.address))
    this.#ca = options.ca
  }

  check(url: string): string {
    if (!URL.canParse(url)) throw refused('That is no URL: it begins with http:// or https://.')
    const parsed = new URL(url)
    if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') throw refused(`Images are fetched by http and https, not by ${parsed.protocol.replace(':', '')}.`)
    if (parsed.username !== '' || parsed.password !== '') throw refused('A user name or password in a URL would be kept in clear: none may be there.')
    parsed.hash = ''
    const host = bareHost(parsed)
    if (isIP(host) !== 0) this.#guard.require(host, host)
    else if (/^localhost$|\.localhost\.?$/i.test(host)) throw refused('localhost is this node itself: images are not fetched from there.')
    return parsed.href
  }

  async open(url: string, from: { readonly offset: number; readonly validator: string | null }, limits: { readonly sizeBytesMax: number; readonly signal: AbortSignal }): Promise<OpenedSource> {
    let target = new URL(this.check(url))
    const wanted = from.offset > 0 && from.validator !== null ? { offset: from.offset, validator: from.validator } : null
    for (let redirects = 0; redirects <= redirectsMax; redirects++) {
      const response = await this.#ask(target, wanted, limits.signal)
      const status = response.statusCode ?? 0
      const { location } = response.headers
      if (status >= 300 && status < 400 && status !== 304 && location !== undefined) {
        response.destroy()
        target = this.#follow(target, location)
        continue
      }
      try {
        return readHead(response, wanted, limits)
      } catch (error) {
        response.destroy()
        throw error
      }
    }
    throw new OperationalError('SOURCE_FAILED', `${new URL(url).host} redirects more than ${redirectsMax} times.`)
  }

  #follow(from: URL, location: string): URL {
    if (!URL.canParse(location, from.href)) throw new OperationalError('SOURCE_FAILED', `${from.host} redirects to what is no URL.`)
    const next = new URL(this.check(new URL(location, from.href).href))
    if (from.protocol === 'https:' && next.protocol === 'http:') throw refused(`${from.host} redirects from https to http: that is not followed.`)
    return next
  }

  /** The addresses of the host, every one checked: a name that also means something inside is not asked at all. */
  async #addressOf(target: URL): Promise<string> {
    const host = bareHost(target)
    if (isIP(host) !== 0) {
      this.#guard.require(host, host)
      return host
    }
    let addresses: readonly string[]
    try {
      addresses = await this.#resolve(host)
    } catch (cause) {
      throw new OperationalError('SOURCE_FAILED', `${host} has no address that could be found.`, { cause })
    }
    for (const address of addresses) this.#guard.require(address, host)
    const [first] = addresses
    if (first === undefined) throw new OperationalError('SOURCE_FAILED', `${host} has no address.`)
    return first
  }

  async #ask(target: URL, wanted: { readonly offset: number; readonly validator: string } | null, signal: AbortSignal): Promise<IncomingMessage> {
    const address = await this.#addressOf(target)
    signal.throwIfAborted()
    const secure = target.protocol === 'https:'
    const options: RequestOptions & { readonly ca?: string; readonly servername?: string } = {
      method: 'GET', agent: false, signal, maxHeaderSize: headerBytesMax,
      // The checked address, not the name: asked again it might mean another one.
      host: address, port: target.port === '' ? (secure ? 443 : 80) : Number(target.port), path: `${target.pathname}${target.search}`,
      headers: {
        Host: target.host, 'User-Agent': 'novacron', Accept: '*/*', 'Accept-Encoding': 'identity',
        ...(wanted === null ? {} : { Range: `bytes=${wanted.offset}-`, 'If-Range': wanted.validator }),
      },
      ...(secure ? { ...(isIP(bareHost(target)) === 0 ? { servername: bareHost(target) } : {}), ...(this.#ca === undefined ? {} : { ca: this.#ca }) } : {}),
    }
    return await new Promise((resolve, reject) => {
      const outgoing = (secure ? requestHttps : requestHttp)(options, (response) => {
        response.setTimeout(silenceMsMax, () => response.destroy(new Error(`nothing came for ${silenceMsMax / 1000} s`)))
        resolve(response)
      })
      const patience = setTimeout(() => outgoing.destroy(new Error(`no connection within ${connectMsMax / 1000} s`)), connectMsMax)
      outgoing.on('socket', (socket) => socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(patience)))
      outgoing.setTimeout(silenceMsMax, () => outgoing.destroy(new Error(`no answer within ${silenceMsMax / 1000} s`)))
      outgoing.on('close', () => clearTimeout(patience))
      outgoing.on('error', (cause) => reject(signal.aborted ? (signal.reason as Error) : failed(target, cause)))
      outgoing.end()
    })
  }
}

function readHead(response: IncomingMessage, wanted: { readonly offset: number; readonly validator: string } | null, limits: { readonly sizeBytesMax: number; readonly signal: AbortSignal }): OpenedSource {
  const status = response.statusCode ?? 0
  const { headers } = response
  if (status !== 200 && status !== 206) throw new OperationalError('SOURCE_FAILED', `The address answered ${status}${status === 404 ? ': there is no such file' : ''}.`)
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw new OperationalError('SOURCE_FAILED', 'The address sends the file packed, though it was asked not to.')
  const length = headers['content-length'] === undefined ? null : Number(headers['content-length'])
  const range = status === 206 ? /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') : null
  const offset = range === null ? 0 : Number(range[1])
  if (status === 206 && (wanted === null || offset !== wanted.offset)) throw new OperationalError('SOURCE_FAILED', 'The address gives another part of the file than was asked for.')
  const totalBytes = range !== null && range[2] !== '*' ? Number(range[2]) : length === null ? null : offset + length
  if (totalBytes !== null && totalBytes > limits.sizeBytesMax) throw new OperationalError('BODY_TOO_LARGE', `The file has ${totalBytes} bytes, more than the ${limits.sizeBytesMax} that are possible here. Nothing was kept.`)
  return { offset, totalBytes, validator: validatorOf(headers), body: readBody(response, limits.signal) }
}

/** A weak ETag does not promise the same bytes (RFC 9110 §13.1.5). */
function validatorOf(headers: IncomingMessage['headers']): string | null {
  if (headers['accept-ranges']?.toLowerCase() === 'none') return null
  const { etag } = headers
  if (etag !== undefined && etag.startsWith('"')) return etag
  return headers['last-modified'] ?? null
}

async function* readBody(response: IncomingMessage, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) yield chunk as Uint8Array
  } catch (cause) {
    signal.throwIfAborted()
    throw new OperationalError('SOURCE_FAILED', `The file broke off: ${cause instanceof Error ? cause.message : String(cause)}.`, { cause })
  } finally {
    response.destroy()
  }
}

function failed(target: URL, cause: Error): OperationalError {
  const code = 'code' in cause ? String(cause.code) : ''
  const reason = /CERT|SIGNATURE|ALTNAME|ISSUER/.test(code) ? `its certificate does not verify (${code})` : cause.message
  return new OperationalError('SOURCE_FAILED', `${target.host} gave nothing: ${reason}.`, { cause })
}

function refused(message: string): OperationalError {
  return new OperationalError('SOURCE_REFUSED', message, { data: { fields: [{ path: 'spec.source.url', message: 'is refused' }] } })
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

function hostAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map((entry) => entry.address.replace(/%.*$/, '')))
}
