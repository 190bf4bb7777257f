// The documentation page: routes, their input and answers field by field, and the codes of errors, for people.
import { html } from 'hono/html'
import { errorTable, type ErrorCode } from '../../model/error.ts'
import type { Right } from '../../model/role.ts'
import type { Route, SchemaRef } from '../route.ts'
import { commonErrors, jsonSchemaOf, type JsonSchema } from './openapi.ts'

type Html = ReturnType<typeof html>

/** @param options.styles URLs of style sheets; `icon` of a picture, null without one */
export function renderDocs(table: readonly Route[], options: { readonly version: string; readonly styles: readonly string[]; readonly icon: string | null }): Html {
  const tags = [...new Set(table.map((route) => route.tag))]
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>API · NovaCron</title>
${options.icon === null ? '' : html`<link rel="icon" href="${options.icon}">`}
${options.styles.map((url) => html`<link rel="stylesheet" href="${url}">`)}
</head>
<body class="docs">
<nav aria-label="Contents"><a href="/">NovaCron</a><ul>${tags.map((tag) => html`<li><a href="#${idOf(tag)}">${tag}</a></li>`)}<li><a href="#headers">Headers</a></li><li><a href="#errors">Errors</a></li></ul></nav>
<main id="main">
<h1>NovaCron API ${options.version}</h1>
<p>Every node serves the same API; a write on any node is answered once that node has applied it. The machine-readable form is <a href="/api/v1/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<p>Send <code>Authorization: Bearer nct_…</code>. A browser's session cookie is a credential too; its writes need the header <code>X-CSRF-Token</code> and must come from a page of the same node.
A path takes an id or a name. Unknown fields and parameters are errors. Fields marked * are required.</p>
${tags.map((tag) => html`<section aria-labelledby="${idOf(tag)}"><h2 id="${idOf(tag)}">${tag}</h2>${table.filter((route) => route.tag === tag).map(renderRoute)}</section>`)}
${headerSection}
${errorSection()}
</main>
</body>
</html>`
}

const headerSection = html`<section aria-labelledby="headers"><h2 id="headers">Headers</h2>
<dl>
<dt><code>Novacron-Index</code></dt><dd>In answers: the index of the state that was read or written. <code>?minIndex=</code> at any node waits for it.</dd>
<dt><code>Novacron-Stale-Since</code></dt><dd>In answers: this node has not heard from a leader since then.</dd>
<dt><code>ETag</code>, <code>If-Match</code></dt><dd>A resource's revision. A write whose If-Match does not hold is refused with 412.</dd>
<dt><code>Idempotency-Key</code></dt><dd>With a write: try again with the same key and the answer is the first one's, for 24 hours.</dd>
<dt><code>Prefer: wait=30</code></dt><dd>Wait so many seconds, at most 300, for the phase or the operation's end.</dd>
<dt><code>Last-Event-ID</code></dt><dd>Resumes a stream of events, at any node.</dd>
</dl></section>`

function errorSection(): Html {
  return html`<section aria-labelledby="errors"><h2 id="errors">Errors</h2>
<p>An error is a document of type <code>application/problem+json</code> with <code>type, title, status, detail, code</code> and, for wrong input, <code>fields</code>. Any request may be answered ${codes(commonErrors)}; a write also ${codes(['NO_QUORUM', 'OUTCOME_UNKNOWN', 'IDEMPOTENCY_MISMATCH', 'MALFORMED', 'UNSUPPORTED_MEDIA_TYPE', 'BODY_TOO_LARGE', 'CROSS_ORIGIN'])}.</p>
<table><caption>Codes of errors</caption><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead>
<tbody>${(Object.keys(errorTable) as ErrorCode[]).map((code) => html`<tr id="${code}"><th scope="row"><code>${code}</code></th><td>${errorTable[code].status}</td><td>${errorTable[code].title}</td></tr>`)}</tbody></table></section>`
}

const rightWords: Readonly<Partial<Record<Right, string>>> = {
  any: 'any credential; a list holds what its reader may see', own: 'the owner, or an administrator of the cluster', 'read library': 'any role; of other projects than default, one in that project',
}

function renderRoute(route: Route): Html {
  const { body, query } = route
  const answers = Object.entries(route.answers)
  const refs = [...new Map(answers.flatMap(([, { schema }]) => (schema === undefined ? [] : [[schema.name, schema] as const]))).values()].filter(({ name }) => name !== 'DryRun')
  return html`<details id="${route.operationId}"><summary><code><b>${route.method}</b> ${route.path}</code> <span>${route.summary}</span></summary>
${route.credential === 'caller' ? html`<p>Right: ${rightWords[route.right] ?? route.right}.</p>` : ''}${query === undefined ? '' : fieldTable('Query', Object.entries(query).map(([name, parameter]) => ({ name, required: parameter.required === true, schema: jsonSchemaOf(parameter.schema, 'input') })))}
${body === undefined ? '' : html`<p>Body${body.required ? '' : ' (optional)'}: <code>${body.types.join(' or ')}</code></p>`}
${body === undefined ? '' : body.schema === 'binary' ? html`<p>The file itself.</p>` : fieldTable(body.schema.name, fieldsOf(jsonSchemaOf(body.schema.schema, 'input')))}
<ul>${answers.map(([status, { description }]) => html`<li><code>${status}</code> ${description}</li>`)}</ul>
${refs.map((ref: SchemaRef) => fieldTable(ref.name, fieldsOf(jsonSchemaOf(ref.schema, 'output'))))}
${route.errors.length === 0 ? '' : html`<p>Errors of its own: ${codes(route.errors)}.</p>`}</details>`
}

function codes(list: readonly ErrorCode[]): readonly Html[] {
  return list.map((code, at) => html`${at > 0 ? ', ' : ''}<a href="#${code}">${code}</a>`)
}

type Field = { readonly name: string; readonly required: boolean; readonly schema: JsonSchema }

function fieldTable(caption: string, fields: readonly Field[]): Html | '' {
  if (fields.length === 0) return ''
  return html`<table><caption>${caption}</caption><thead><tr><th scope="col">Field</th><th scope="col">Type</th><th scope="col">Meaning</th></tr></thead>
<tbody>${fields.map(({ name, required, schema }) => html`<tr><th scope="row"><code>${name}</code>${required ? ' *' : ''}</th><td>${typeOf(schema)}</td><td>${meaningOf(schema)}</td></tr>`)}</tbody></table>`
}

const depthMax = 4

/** Flattened: `spec.disks[].name`. Lists of one kind show their items. */
function fieldsOf(schema: JsonSchema, path = '', depth = 0): readonly Field[] {
  if (depth > depthMax) return []
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const full = path === '' ? name : `${path}.${name}`
    const inner = property.type === 'array' && property.items?.properties !== undefined ? property.items : property
    const field = { name: inner === property ? full : `${full}[]`, required: schema.required?.includes(name) === true, schema: property }
    return [field, ...fieldsOf(inner, field.name, depth + 1)]
  })
}

function typeOf(schema: JsonSchema): string {
  const either = schema.anyOf ?? schema.oneOf
  if (either !== undefined) return either.map(typeOf).join(' or ')
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(', ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.type === 'array') return schema.items === undefined || schema.items.properties !== undefined ? 'array' : `array of ${typeOf(schema.items)}`
  return typeof schema.type === 'string' ? schema.type : 'any'
}

function meaningOf(schema: JsonSchema): string {
  const bounds = [
    schema.default === undefined ? '' : `default ${JSON.stringify(schema.default)}`,
    schema.minimum === undefined || schema.minimum <= Number.MIN_SAFE_INTEGER ? '' : `at least ${schema.minimum}`,
    schema.maximum === undefined || schema.maximum >= Number.MAX_SAFE_INTEGER ? '' : `at most ${schema.maximum}`,
    schema.maxLength === undefined ? '' : `at most ${schema.maxLength} characters`,
  ].filter((text) => text !== '')
  return [schema.description ?? '', bounds.join(', ')].filter((text) => text !== '').join('; ')
}

function idOf(tag: string): string {
  return `tag-${tag.toLowerCase()}`
}
