// The documentation page: the table of routes and the codes of errors, for people.
import { html } from 'hono/html'
import { errorTable, type ErrorCode } from '../../model/error.ts'
import type { Route } from '../route.ts'
import { errorsOf } from './openapi.ts'

/** @param styleUrl of app.css, null where the pages are not there */
export function renderDocs(table: readonly Route[], options: { readonly version: string; readonly styleUrl: string | null }) {
  const tags = [...new Set(table.map((route) => route.tag))]
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>API · NovaCron</title>
${options.styleUrl === null ? '' : html`<link rel="stylesheet" href="${options.styleUrl}">`}
</head>
<body>
<main id="main">
<h1>NovaCron API ${options.version}</h1>
<p>Every node serves the same API. The machine-readable form is <a href="/api/v1/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<nav aria-label="Contents"><ul>${tags.map((tag) => html`<li><a href="#${idOf(tag)}">${tag}</a></li>`)}<li><a href="#headers">Headers</a></li><li><a href="#errors">Errors</a></li></ul></nav>
<h2 id="credentials">Credentials</h2>
<p>Send <code>Authorization: Bearer nct_…</code>. A browser's session cookie is a credential too; its writes need the header <code>X-CSRF-Token</code> and come from a page of the same node.</p>
${tags.map((tag) => html`<section aria-labelledby="${idOf(tag)}"><h2 id="${idOf(tag)}">${tag}</h2>${table.filter((route) => route.tag === tag).map(renderRoute)}</section>`)}
${headerSection}
<section aria-labelledby="errors"><h2 id="errors">Errors</h2>
<p>An error is a document of type <code>application/problem+json</code> with <code>type, title, status, detail, code</code> and, for wrong input, <code>fields</code>.</p>
<table class="tbl"><caption>Codes of errors</caption><thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Meaning</th></tr></thead>
<tbody>${(Object.keys(errorTable) as ErrorCode[]).map((code) => html`<tr id="${code}"><th scope="row"><code>${code}</code></th><td>${errorTable[code].status}</td><td>${errorTable[code].title}</td></tr>`)}</tbody></table></section>
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

function renderRoute(route: Route) {
  const { body } = route
  return html`<article id="${route.operationId}"><h3><code>${route.method} ${route.path}</code></h3><p>${route.summary}.</p>
${route.query === undefined ? '' : html`<p>Query: ${Object.entries(route.query).map(([name, parameter], at) => html`${at > 0 ? ', ' : ''}<code>${name}</code>${parameter.required ? ' (required)' : ''}`)}</p>`}
${body === undefined ? '' : html`<p>Body${body.required ? '' : ' (optional)'}: <code>${body.types.join(' or ')}</code>, ${body.schema === 'binary' ? 'the file' : html`<code>${body.schema.name}</code>`}</p>`}
<p>Answers: ${Object.entries(route.answers).map(([status, answer], at) => html`${at > 0 ? '; ' : ''}<code>${status}</code> ${answer.description}`)}. Errors: ${errorsOf(route).map((code, at) => html`${at > 0 ? ', ' : ''}<a href="#${code}">${code}</a>`)}.</p></article>`
}

function idOf(tag: string): string {
  return `tag-${tag.toLowerCase()}`
}
