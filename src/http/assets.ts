// Static files of the pages: read and compressed once at start, named by their hash, so that browsers keep them for ever.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

export type Assets = {
  /** `/assets/NAME.HASH.EXT` of a file by its path under the directory. @throws RangeError where there is none: a view's bug */
  readonly assetUrl: (name: string) => string
  /** Answers `/assets/…`, with the hash in the name or without; null where there is no such file. */
  readonly answer: (path: string, request: Request) => Response | null
  /** Whether the sign-in page needs it, so that it answers without a credential. */
  readonly isPublic: (path: string) => boolean
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.mjs': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml',
  '.png': 'image/png', '.ico': 'image/x-icon', '.woff2': 'font/woff2', '.json': 'application/json', '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
}
const compressible = /^(?:text|image\/svg|application\/(?:json|manifest))/
const hashLength = 12
const prefix = '/assets/'
/** A folder that carries its version never changes: modules in it name each other without a hash. */
const versionedFolder = /^[a-z]+-\d+\.\d+\.\d+\//
/** What /login links to; a console's code, for one, needs a session. */
const publicName = /^(?:app|theme|login|icons|favicon|icon|logo|htmx|hx-sse)(?:[.-][a-z0-9.-]*)?\.(?:css|js|svg|png|ico|webmanifest)$/

type File = { readonly name: string; readonly url: string; readonly type: string; readonly etag: string; readonly bytes: Uint8Array<ArrayBuffer>; readonly gzip: Uint8Array<ArrayBuffer> | null }

/** @param directory of ui/assets; sub-directories are part of the names */
export function loadAssets(directory: string): Assets {
  const files = new Map<string, { readonly file: File; readonly lasting: boolean }>()
  const urls = new Map<string, string>()
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const file = loadFile(path.slice(directory.length).replace(/^\/+/, ''), readFileSync(path))
    if (file === null) continue
    urls.set(file.name, file.url)
    files.set(file.url, { file, lasting: true })
    files.set(prefix + file.name, { file, lasting: versionedFolder.test(file.name) })
  }
  return {
    assetUrl(name) {
      const url = urls.get(name)
      if (url === undefined) throw new RangeError(`there is no asset ${name}`)
      return url
    },
    answer(path, request) {
      const found = files.get(path)
      return found === undefined ? null : answerFile(found.file, found.lasting, request)
    },
    isPublic: (path) => publicName.test(files.get(path)?.file.name ?? ''),
  }
}

/** Null for a file that is not for browsers (a list of sources and checksums, say). */
function loadFile(name: string, content: Uint8Array): File | null {
  const extension = extname(name)
  const type = types[extension]
  if (type === undefined) return null
  const bytes = new Uint8Array(content)
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, hashLength)
  const gzip = compressible.test(type) ? new Uint8Array(gzipSync(bytes, { level: 9 })) : null
  return {
    name, type, bytes, etag: `"${hash}"`, url: `${prefix}${name.slice(0, name.length - extension.length)}.${hash}${extension}`,
    gzip: gzip !== null && gzip.length < bytes.length ? gzip : null,
  }
}

function answerFile(file: File, lasting: boolean, request: Request): Response {
  const headers = new Headers({
    'Content-Type': file.type,
    ETag: file.etag,
    'Cache-Control': lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
    Vary: 'Accept-Encoding',
  })
  const known = request.headers.get('If-None-Match')
  if (known !== null && known.split(',').some((tag) => tag.trim().replace(/^W\//, '') === file.etag)) return new Response(null, { status: 304, headers })
  const gzip = file.gzip !== null && /\bgzip\b/.test(request.headers.get('Accept-Encoding') ?? '') ? file.gzip : null
  if (gzip !== null) headers.set('Content-Encoding', 'gzip')
  const body = gzip ?? file.bytes
  headers.set('Content-Length', String(body.length))
  return new Response(request.method === 'HEAD' ? null : body, { headers })
}
