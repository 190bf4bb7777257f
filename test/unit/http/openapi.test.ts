// The OpenAPI document is valid, complete and true; the documentation page shows the same.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { openApi } from '../../../src/http/api/openapi.ts'
import { routeTable } from '../../../src/http/api/table.ts'
import { errorTable } from '../../../src/model/error.ts'
import { serve, type Json, type Served } from './harness.ts'

const table = routeTable(() => new Response())

// OpenAPI 3.1.1 §4.8, the objects that we use, strictly: a field that the specification does not know is an error.
const jsonSchema: z.ZodType = z.lazy(() => z.union([z.boolean(), z.looseObject({
  $ref: z.string().regex(/^#\/components\/schemas\/\w+$/).optional(),
  type: z.union([z.enum(['string', 'number', 'integer', 'boolean', 'array', 'object', 'null']), z.array(z.string())]).optional(),
  properties: z.record(z.string(), jsonSchema).optional(), items: jsonSchema.optional(), required: z.array(z.string()).optional(),
  additionalProperties: jsonSchema.optional(), anyOf: z.array(jsonSchema).optional(), oneOf: z.array(jsonSchema).optional(), allOf: z.array(jsonSchema).optional(),
  propertyNames: jsonSchema.optional(), enum: z.array(z.unknown()).min(1).optional(), pattern: z.string().optional(), $schema: z.never().optional(), $defs: z.never().optional(), nullable: z.never().optional(),
})]))
const content = z.record(z.string().regex(/^[\w.+-]+\/[\w.+-]+$/), z.strictObject({ schema: jsonSchema }))
const parameter = z.strictObject({ name: z.string().min(1), in: z.enum(['path', 'query', 'header', 'cookie']), required: z.boolean(), description: z.string().optional(), schema: jsonSchema })
const operation = z.strictObject({
  operationId: z.string().regex(/^[a-z][A-Za-z]+$/), summary: z.string().min(1), description: z.string().min(1).optional(), tags: z.array(z.string()).min(1),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(), parameters: z.array(parameter),
  requestBody: z.strictObject({ required: z.boolean(), content }).optional(),
  responses: z.record(z.string().regex(/^[1-5]\d\d$/), z.strictObject({ description: z.string().min(1), content: content.optional() })),
})
const document = z.strictObject({
  openapi: z.literal('3.1.0'),
  info: z.strictObject({ title: z.string(), version: z.string(), description: z.string(), license: z.strictObject({ name: z.string(), identifier: z.string() }) }),
  servers: z.array(z.strictObject({ url: z.string(), description: z.string() })), security: z.array(z.record(z.string(), z.array(z.string()))),
  tags: z.array(z.strictObject({ name: z.string() })),
  paths: z.record(z.string().startsWith('/'), z.strictObject({ get: operation, put: operation, post: operation, delete: operation, patch: operation }).partial()),
  components: z.strictObject({
    schemas: z.record(z.string().regex(/^[\w.-]+$/), jsonSchema),
    securitySchemes: z.record(z.string(), z.union([
      z.strictObject({ type: z.literal('http'), scheme: z.string(), description: z.string() }),
      z.strictObject({ type: z.literal('apiKey'), in: z.enum(['query', 'header', 'cookie']), name: z.string(), description: z.string() }),
    ])),
  }),
})

let served: Served
beforeAll(async () => { served = await serve() })
afterAll(() => served.http.stop())

function refsIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(refsIn)
  if (value === null || typeof value !== 'object') return []
  return Object.entries(value).flatMap(([key, inner]) => (key === '$ref' ? [String(inner)] : refsIn(inner)))
}

describe('the document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const { json, headers } = await served.ask('/api/v1/openapi.json')
    expect(headers['content-type']).toBe('application/json')
    const parsed = document.parse(json)
    const operations = Object.entries(parsed.paths).flatMap(([path, item]) => Object.values(item).map((one) => ({ path, one: operation.parse(one) })))
    expect(new Set(operations.map(({ one }) => one.operationId)).size).toBe(operations.length)
    for (const { path, one } of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      expect(one.parameters.filter((each) => each.in === 'path' && each.required).map((each) => each.name)).toEqual(named)
      expect(new Set(one.parameters.map((each) => `${each.in} ${each.name}`)).size).toBe(one.parameters.length)
      for (const tag of one.tags) expect(parsed.tags.map((each) => each.name)).toContain(tag)
      for (const scheme of (one.security ?? []).flatMap((each) => Object.keys(each))) expect(Object.keys(parsed.components.securitySchemes)).toContain(scheme)
    }
    for (const ref of refsIn(json)) expect(Object.keys(parsed.components.schemas)).toContain(ref.replace('#/components/schemas/', ''))
  })
  test('a planted fault is found', () => {
    const made = structuredClone(openApi(table, '1')) as Json
    made.paths['/api/v1/vms'].get.parameters[0].type = 'string'
    expect(document.safeParse(made).success).toBe(false)
  })
  test('every route of the table is in it, and nothing else', async () => {
    const { paths } = (await served.ask('/api/v1/openapi.json')).json
    const listed = Object.entries(paths).flatMap(([path, item]) => Object.keys(item as object).map((method) => `${method.toUpperCase()} ${path}`))
    expect(listed.toSorted()).toEqual(table.map((route) => `${route.method} ${route.path}`).toSorted())
  })
  test('schemas say what may be sent: defaults are optional there, and no field is free', () => {
    const { components } = openApi(table, '1') as Json
    expect(components.schemas.VmCreate.required).toEqual(['name', 'spec'])
    expect(components.schemas.VmCreate.properties.spec.required).toEqual(['cpus', 'memoryMiB'])
    expect(components.schemas.VmCreate.additionalProperties).toBe(false)
    expect(components.schemas.Vm.properties.spec.required).toContain('runState')
    expect(components.schemas.VmList.properties.items.items).toEqual({ $ref: '#/components/schemas/Vm' })
  })
  test('the document needs a credential', async () => {
    expect((await served.ask('/api/v1/openapi.json', { token: null })).status).toBe(401)
  })
})

test('the documentation page names every route and code, and loads nothing from elsewhere', async () => {
  const { text, headers, status } = await served.ask('/api/docs')
  expect(status).toBe(200)
  expect(headers['content-type']).toMatch(/^text\/html/)
  for (const route of table) expect(text).toContain(`<b>${route.method}</b> ${route.path}`)
  for (const code of Object.keys(errorTable)) expect(text).toContain(`id="${code}"`)
  for (const field of ['spec.disks[].image', 'spec.cpus', 'status.phase']) expect(text).toContain(`<code>${field}</code>`)
  expect(text).not.toMatch(/<script|<style|style=|https?:\/\/|src=|\[object/)
  for (const [, target] of text.matchAll(/href="#([^"]+)"/g)) expect(text).toContain(`id="${target}"`)
  expect((await served.ask('/api/docs', { token: null })).status).toBe(401)
})
