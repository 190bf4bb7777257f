// The shell around every page: head, navigation, top bar, menus, palette, tab bar.
import { html } from 'hono/html'
import type { Operation } from '../../src/model/operation.ts'
import { count } from './figures.ts'
import type { Frame, Html } from './frame.ts'
import { hiddenFields } from './form.ts'
import { icon } from './icon.ts'
import { alarm, problemNote, type Problem } from './note.ts'
import { operationTitle } from './operation-words.ts'
import { paletteOptions } from './palette.ts'
import { operationStateWords } from './state.ts'

export type Section = 'overview' | 'vms' | 'images' | 'nodes' | 'operations' | 'events' | 'access' | 'users' | 'projects' | 'audit' | 'recovery' | ''

export type Crumb = { readonly text: string; readonly href: string }

export type ShellOptions = {
  /** The thing or the page, for the title and the last crumb. */
  readonly title: string
  readonly section: Section
  readonly crumbs?: readonly Crumb[]
  /** Query of the page's live stream, as `page=vm&id=…`; without one the page gets only the pulse. */
  readonly live?: string
  /** The reader's latest operations. */
  readonly inbox?: readonly Operation[]
  /** Scripts beside the usual ones. */
  readonly scripts?: Html
  readonly styles?: Html
  readonly slim?: boolean
  /** What went wrong with what was just asked; stands above the page. */
  readonly problem?: Problem | null
}

/** A whole page. */
export function shell(frame: Frame, options: ShellOptions, body: Html): Html {
  const { cluster } = frame
  const stale = !cluster.quorum || cluster.staleSinceMs !== null
  return html`<!doctype html>
<html lang="en"${stale ? html` class="stale"` : ''}${frame.theme === null ? '' : html` data-theme="${frame.theme}"`}${frame.nav === null ? '' : html` data-nav="${frame.nav}"`}>
${head(frame, options)}
<body hx-headers:inherited='${JSON.stringify({ 'X-CSRF-Token': frame.csrf })}'>
<a class="skip" href="#main">Skip to content</a>
<div class="shell">
${navigation(frame, options.section)}
${topBar(frame, options)}
<main id="main" tabindex="-1">
${alarm(frame)}
<div id="live-source" hx-sse:connect="/ui/events?${options.live ?? 'page=none'}" hx-swap="none"></div>
<div class="page${options.slim === true ? ' slim' : ''}">
<div id="page-note">${options.problem === undefined || options.problem === null ? '' : problemNote(frame, options.problem)}</div>
${body}
</div>
</main>
</div>
${tabBar(frame, options.section)}
${palette(frame)}
${keysDialog(frame)}
<div class="toasts" id="toasts" role="status"></div>
<div class="vh" id="say" role="status"></div>
</body>
</html>`
}

/** The document's head, also for pages without the shell. */
export function head(frame: Pick<Frame, 'asset'> & { readonly cluster: Pick<Frame['cluster'], 'name'> }, options: Pick<ShellOptions, 'title' | 'scripts' | 'styles'>): Html {
  const config = { extensions: 'sse', history: 'reload', includeIndicatorCSS: false, defaultTimeout: 15_000, sse: { reconnectMaxDelay: 5000 } }
  return html`<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="htmx-config" content='${JSON.stringify(config)}'>
<title>${options.title} · ${frame.cluster.name} · NovaCron</title>
<link rel="icon" href="${frame.asset('logo.svg')}" type="image/svg+xml">
<link rel="stylesheet" href="${frame.asset('app.css')}">
${options.styles ?? ''}<script src="${frame.asset('htmx.min.js')}" defer></script>
<script src="${frame.asset('hx-sse.min.js')}" defer></script>
<script src="${frame.asset('app.js')}" defer></script>
${options.scripts ?? ''}</head>`
}

function navigation(frame: Frame, section: Section): Html {
  const { counts } = frame
  const link = (name: Section, href: string, symbol: string, text: string, extra: Html | '' = '') =>
    html`<li><a href="${href}"${section === name ? html` aria-current="page"` : ''}>${icon(frame, symbol)}<span>${text}</span>${extra}</a></li>`
  const number = (value: number, id: string) => html`<span class="n" id="${id}">${value === 0 ? '' : count(value)}</span>`
  return html`<nav class="nav" id="nav" popover aria-label="Main">
<a class="brand" href="/">${icon(frame, 'logo')}<span>${frame.cluster.name}<small>NovaCron ${frame.version}</small></span></a>
${frame.user.cluster ? html`<ul>${link('overview', '/', 'overview', 'Overview')}</ul>` : ''}
${frame.user.looks ? html`<h2>Workloads</h2><ul>${link('vms', '/vms', 'vm', 'Virtual machines', number(counts.vms, 'n-vms'))}${link('images', '/images', 'image', 'Images', number(counts.images, 'n-images'))}</ul>${frame.user.cluster ? html`
<h2>Infrastructure</h2><ul>${link('nodes', '/nodes', 'node', 'Nodes', number(counts.nodes, 'n-nodes'))}</ul>` : ''}
<h2>Activity</h2><ul>${link('operations', '/operations', 'ops', 'Operations', runningBadge(frame))}${link('events', '/events', 'events', 'Events')}</ul>` : ''}
<h2>Administration</h2><ul>${link('access', '/access', 'access', 'Access')}${frame.user.looks ? link('projects', '/projects', 'tag', 'Projects') : ''}${frame.user.administrator ? html`${link('users', '/users', 'user', 'Users')}${link('audit', '/audit', 'shield', 'Audit')}${link('recovery', '/recovery', 'backup', 'Recovery')}` : ''}</ul>
${pulse(frame)}
</nav>`
}

/** How many operations run: a live cell. */
export function runningBadge(frame: Frame): Html {
  const running = frame.counts.operationsRunning
  return running === 0 ? html`<span id="n-operations"></span>` : html`<span id="n-operations" class="n hot">${count(running)}<span class="vh"> running</span></span>`
}

/** Quorum, this node, the leader and whether the page is live: a live cell. */
export function pulse(frame: Frame): Html {
  const { cluster } = frame
  const votes = `${cluster.votersReady} of ${cluster.voters}`
  return html`<div class="pulse" id="pulse"><div class="row ${cluster.quorum ? 'ok' : 'bad'}">${icon(frame, cluster.quorum ? 's-ok' : 's-offline')}<span>${cluster.quorum ? `Quorum ${votes}` : `No quorum, ${votes}`}</span></div><p>You are on <b>${cluster.node}</b></p><p><span data-live>Live</span> · ${
    cluster.leader === null ? 'no leader' : `leader ${cluster.leader.name}`
  }</p></div>`
}

function topBar(frame: Frame, options: ShellOptions): Html {
  const running = (options.inbox ?? []).some((operation) => operation.status.state === 'running' || operation.status.state === 'failed')
  return html`<header class="topbar">
<button type="button" class="btn bare sq p-hide" data-do="nav" aria-expanded="${frame.nav === 'rail' ? 'false' : 'true'}" aria-controls="nav" aria-label="Collapse navigation">${icon(frame, 'rail')}</button>
<nav class="crumbs" aria-label="Breadcrumb"><ol>${(options.crumbs ?? []).map((crumb) => html`<li><a href="${crumb.href}">${crumb.text}</a></li>`)}<li><span aria-current="page">${options.title}</span></li></ol></nav>
<button type="button" class="find" data-do="palette" aria-label="Search or run a command" aria-keyshortcuts="/ Control+K">${icon(frame, 'search')}<span>Search or run a command</span><kbd aria-hidden="true">/</kbd></button>
<button type="button" class="btn bare sq" data-do="theme" aria-label="Switch theme">${icon(frame, 'theme')}</button>
<button type="button" class="btn bare sq" popovertarget="inbox" aria-label="Your operations">${icon(frame, 'bell')}${running ? html`<span class="dot"></span>` : ''}</button>
<button type="button" class="btn bare sq" popovertarget="me" aria-label="Account of ${frame.user.name}">${icon(frame, 'user')}</button>
${accountMenu(frame)}
${inboxMenu(frame, options.inbox ?? [])}
</header>`
}

function tabBar(frame: Frame, section: Section): Html {
  const link = (names: readonly Section[], href: string, symbol: string, text: string) =>
    html`<a href="${href}"${names.includes(section) ? html` aria-current="page"` : ''}>${icon(frame, symbol)}${text}</a>`
  return html`<nav class="tabbar" aria-label="Quick">
${frame.user.cluster ? link(['overview'], '/', 'overview', 'Overview') : ''}${frame.user.looks ? link(['vms'], '/vms', 'vm', 'VMs') : ''}${frame.user.cluster ? link(['nodes'], '/nodes', 'node', 'Nodes') : ''}${frame.user.looks ? link(['operations', 'events'], '/operations', 'ops', 'Activity') : link(['access'], '/access', 'access', 'Access')}
<button type="button" popovertarget="nav">${icon(frame, 'menu')}Menu</button>
</nav>`
}

function accountMenu(frame: Frame): Html {
  return html`<div class="menu" id="me" popover><a href="/access">${icon(frame, 'user')}${frame.user.name}, ${frame.user.role}</a><button type="button" data-do="keys">${icon(frame, 'keyboard')}Keyboard shortcuts</button><a href="/api/docs">${icon(frame, 'help')}API</a>${
    frame.user.session ? html`<hr><form method="post" action="/logout">${hiddenFields(frame)}<button type="submit">${icon(frame, 'out')}Sign out</button></form>` : ''
  }</div>`
}

function inboxMenu(frame: Frame, operations: readonly Operation[]): Html {
  const rows = operations.map((operation) => {
    const word = operationStateWords[operation.status.state]
    return html`<a href="/operations/${operation.id}">${icon(frame, word.icon, word.tone === 'off' ? 'dim' : word.tone)}<span>${operationTitle(operation)}<br><small class="dim">${word.word}</small></span></a>`
  })
  return html`<div class="menu" id="inbox" popover>${rows.length === 0 ? html`<p class="in small dim">You have started nothing lately.</p>` : rows}<hr><a href="/operations">All operations</a></div>`
}

function palette(frame: Frame): Html {
  return html`<dialog id="palette" aria-label="Search and commands"><input type="text" role="combobox" name="q" aria-expanded="true" aria-controls="found" aria-autocomplete="list" aria-label="Search or run a command" placeholder="Name, label:key=value or command" autocomplete="off" spellcheck="false" hx-get="/ui/search" hx-trigger="input changed delay:120ms" hx-sync="this:replace" hx-target="#found" hx-swap="innerMorph"><div role="listbox" id="found" aria-label="Results">${paletteOptions(frame, { vms: [], nodes: [], images: [] }, '')}</div><p><span><kbd>↑</kbd> <kbd>↓</kbd> move</span><span><kbd>Enter</kbd> open</span><output></output></p></dialog>`
}

function keysDialog(frame: Frame): Html {
  const keys = [
    ['/ or Ctrl K', 'Search and commands'], ['G then O, V, N, P, E', 'Overview, VMs, nodes, operations, events'], ['J and K', 'Next and previous row'],
    ['X', 'Select the row; Shift-click selects a range'], ['F', 'Filter the list'], ['C', 'Create a VM'], ['?', 'This list'], ['Esc', 'Close'],
  ] as const
  return html`<dialog id="keys" aria-labelledby="keys-h"><div class="hd"><h2 id="keys-h">Keyboard shortcuts</h2><button type="button" class="btn bare sq" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in"><dl class="kv">${keys.map(
    ([key, text]) => html`<dt><kbd>${key}</kbd></dt><dd>${text}</dd>`,
  )}</dl><label class="check"><input type="checkbox" data-keys-off><span>Switch off single-key shortcuts<small>Ctrl K goes on working.</small></span></label></div></dialog>`
}
