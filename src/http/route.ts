// What one line of the table of API routes is: registration, checks, OpenAPI and the documentation page all derive from it.
import type { z } from 'zod'
import type { App, Caller, WriteOptions } from '../app/face.ts'
import type { ErrorCode } from '../model/error.ts'
import type { Right } from '../model/role.ts'
import type { Query, QueryParameters } from './query.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
export type SchemaRef = { readonly name: string; readonly schema: z.ZodType }

export type RouteRequest = {
  readonly app: App
  /** Values of the `{…}` in the path. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  /** Parsed JSON, not yet validated: the use case does that. `{}` where it is optional and missing. */
  readonly body: unknown
  /** The body was JSON, where a route takes a file too. */
  readonly isJson: boolean
  readonly write: WriteOptions
  readonly url: URL
  readonly headers: Headers
  readonly address: string
  /** The body as it comes, for a route whose body is binary. */
  readonly stream: () => AsyncIterable<Uint8Array>
  readonly signal: AbortSignal
}

export type Answer = {
  readonly status: number
  /** Sent as JSON; undefined is no body. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

type RouteBase = {
  readonly method: Method
  /** As in OpenAPI: `/api/v1/vms/{ref}`. */
  readonly path: string
  readonly operationId: string
  readonly tag: string
  readonly summary: string
  readonly query?: QueryParameters
  /** `json`: what a binary route takes instead as application/json. */
  readonly body?: { readonly required: boolean; readonly types: readonly string[]; readonly schema: SchemaRef | 'binary'; readonly json?: SchemaRef }
  /** Successful answers. */
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema?: SchemaRef; /** Media types of an answer that is no JSON. */ readonly types?: readonly string[] }>>
  /** Codes beyond those that any request may get. */
  readonly errors: readonly ErrorCode[]
}
/** Needs an API token or a session. */
export type CallerRoute = RouteBase & { readonly credential: 'caller'; readonly right: Right; readonly handle: (caller: Caller, request: RouteRequest) => Promise<Answer | Response> | Answer | Response }
/** `nodeKey`: a signature by the key of a node that is or was a member. `joinToken`: the join token is the credential. `password`: the body is; whatever is wrong with it is a 401. */
export type OpenRoute = RouteBase & { readonly credential: 'joinToken' | 'password' | 'nodeKey'; readonly handle: (request: RouteRequest) => Promise<Answer> }
export type Route = CallerRoute | OpenRoute

/** A resource, with its revision as ETag. */
export function answerResource(status: number, resource: { readonly id: string; readonly revision: number }, location?: string): Answer {
  return { status, body: resource, headers: { ETag: `"${resource.revision}"`, ...(location === undefined ? {} : { Location: location }) } }
}
