// The OpenAPI 3.1 document, made of the table of routes and the model's schemas.
import { z } from 'zod'
import { errorTable, type ErrorCode } from '../../model/error.ts'
import type { Route, SchemaRef } from '../route.ts'
import { problemSchema, schemas } from './schemas.ts'

/** What any request with a credential may be answered. */
export const commonErrors: readonly ErrorCode[] = ['UNAUTHENTICATED', 'FORBIDDEN', 'INVALID', 'OVERLOADED', 'STOPPING', 'INTERNAL']
const readErrors: readonly ErrorCode[] = ['NO_QUORUM', 'OUTCOME_UNKNOWN', 'MALFORMED']
const writeErrors: readonly ErrorCode[] = ['MALFORMED', 'UNSUPPORTED_MEDIA_TYPE', 'BODY_TOO_LARGE', 'REQUEST_TIMEOUT', 'CROSS_ORIGIN', 'IDEMPOTENCY_MISMATCH', 'NO_QUORUM', 'OUTCOME_UNKNOWN']
/** Request schemas are described as they may be sent, answers as they come. */
const inputs: ReadonlySet<string> = new Set(['VmCreate', 'UploadCreate', 'ImageFromUrl', 'VmReplace', 'VmPatch', 'VmStop', 'VmDelete', 'NodePatch', 'UserCreate', 'PasswordChange', 'UserPatch', 'RoleGrant', 'ProjectCreate', 'ProjectPatch', 'TokenCreate', 'JoinTokenCreate', 'JoinRequest', 'SignIn'])
/** Of which named schemas lists consist, so that they are referred to and not repeated. */
const items: Readonly<Record<string, string>> = { VmList: 'Vm', NodeList: 'Node', ImageList: 'Image', OperationList: 'Operation', UserList: 'User', TokenList: 'Token', RoleList: 'Role', ProjectList: 'Project',  EventList: 'Event', JoinTokenList: 'JoinTokenView' }

type Json = Readonly<Record<string, unknown>>

/** All codes that a route may answer, each once. */
export function errorsOf(route: Route): readonly ErrorCode[] {
  return [...new Set([...route.errors, ...commonErrors, ...(route.method === 'GET' ? readErrors : writeErrors)])]
}

export function openApi(table: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of table) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route)
  return {
    openapi: '3.1.0',
    info: {
      title: 'NovaCron', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'A virtualization cluster of identical appliances. Every node serves this API; a write on any node is answered once that node has applied it.',
    },
    servers: [{ url: '/', description: 'This node' }],
    security: [{ token: [] }, { session: [] }],
    tags: [...new Set(table.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API token, nct_…' },
        session: { type: 'apiKey', in: 'cookie', name: '__Host-novacron', description: 'Writes also need X-CSRF-Token and a same-origin Origin' },
        joinToken: { type: 'http', scheme: 'bearer', description: 'A join token, ncj_…' },
      },
      schemas: Object.fromEntries([...Object.values(schemas), problemSchema].map((ref) => [ref.name, schemaOf(ref)])),
    },
  }
}

function operationOf(route: Route): Json {
  return {
    operationId: route.operationId, summary: route.summary, tags: [route.tag],
    ...(route.credential === 'caller' ? { description: `Right: ${route.right}.` } : {}),
    ...(route.credential === 'caller' ? {} : { security: route.credential === 'joinToken' ? [{ joinToken: [] }] : [] }),
    parameters: parametersOf(route),
    ...(route.body === undefined ? {} : {
      requestBody: {
        required: route.body.required,
        content: {
          ...Object.fromEntries(route.body.types.map((type) => [type, { schema: route.body?.schema === 'binary' ? { type: 'string', format: 'binary' } : refTo(route.body?.schema) }])),
          ...(route.body.json === undefined ? {} : { 'application/json': { schema: refTo(route.body.json) } }),
        },
      },
    }),
    responses: responsesOf(route),
  }
}

function parametersOf(route: Route): readonly Json[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name, in: 'path', required: true, description: name === 'ref' ? 'Id or name' : 'Id', schema: { type: 'string' },
  }))
  const inQuery = Object.entries(route.query ?? {}).map(([name, parameter]) => {
    const { description, ...schema } = jsonSchemaOf(parameter.schema, 'input')
    return { name, in: 'query', required: parameter.required === true, ...(description === undefined ? {} : { description }), schema }
  })
  const header = (name: string, description: string) => ({ name, in: 'header', required: false, description, schema: { type: 'string' } })
  const inHeader = route.method === 'GET' || route.credential !== 'caller' ? [] : [
    header('Idempotency-Key', 'The same key and request again gives the first answer, for 24 hours'),
    ...(/\{ref\}/.test(route.path) ? [header('If-Match', 'The ETag that must still hold')] : []),
    header('Prefer', 'wait=N: seconds to wait for the end, at most 300'),
  ]
  return [...inPath, ...inQuery, ...inHeader]
}

function responsesOf(route: Route): Json {
  const responses: Record<string, unknown> = {}
  for (const [status, answer] of Object.entries(route.answers)) {
    const texts = answer.types === undefined ? undefined : Object.fromEntries(answer.types.map((type) => [type, { schema: { type: 'string' } }]))
    const content = answer.schema === undefined ? texts : { 'application/json': { schema: refTo(answer.schema) }, ...(route.operationId === 'listEvents' ? { 'text/event-stream': { schema: { type: 'string' } } } : {}) }
    responses[status] = { description: answer.description, ...(content === undefined ? {} : { content }) }
  }
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of errorsOf(route)) byStatus.set(errorTable[code].status, [...(byStatus.get(errorTable[code].status) ?? []), code])
  for (const [status, codes] of [...byStatus].toSorted(([left], [right]) => left - right)) {
    responses[String(status)] = { description: codes.map((code) => `${code}: ${errorTable[code].title}`).join('. '), content: { 'application/problem+json': { schema: refTo(problemSchema) } } }
  }
  return responses
}

function refTo(ref: SchemaRef | 'binary' | undefined): Json {
  return typeof ref === 'object' ? { $ref: `#/components/schemas/${ref.name}` } : { type: 'string' }
}

function schemaOf({ name, schema }: SchemaRef): Json {
  const made = jsonSchemaOf(schema, inputs.has(name) ? 'input' : 'output')
  const item = items[name]
  if (item === undefined) return made
  return { ...made, properties: { ...made.properties, items: { type: 'array', items: { $ref: `#/components/schemas/${item}` } } } }
}

/** What we use of JSON Schema (draft 2020-12). */
export type JsonSchema = {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
}

export function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  const { $schema: _, ...made } = z.toJSONSchema(schema, { target: 'draft-2020-12', io, unrepresentable: 'any' })
  return made as JsonSchema
}
