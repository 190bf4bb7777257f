// The consoles of a VM, serial line and screen; the code of either loads only on its own page.
import { html } from 'hono/html'
import type { ConsoleType } from '../../src/model/console.ts'
import type { Vm } from '../../src/model/vm.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { vmDeleteDialog, vmHead, vmMenu } from './vm.ts'
import { vmPath } from './vm-words.ts'

const novncFolder = 'novnc-1.7.0'
const names: Readonly<Record<ConsoleType, string>> = { serial: 'Serial console', screen: 'Screen' }

export function vmConsolePage(frame: Frame, vm: Vm, type: ConsoleType): Html {
  return html`${vmHead(frame, vm, 'console')}
<section class="card" aria-labelledby="co-h"><header><div class="row"><h2 id="co-h" class="vh">${names[type]}</h2>${switcher(vm, type)}<span class="state" id="console-state">Connecting</span><button type="button" class="btn" id="console-again" hidden>Connect again</button></div><div class="row"><span class="dim small p-hide">Ctrl Shift Escape leaves</span>${type === 'screen' ? screenTools(frame) : ''}<button type="button" class="btn" data-do="console-paste">${icon(frame, 'copy')}${type === 'screen' ? 'Type clipboard' : 'Paste'}</button><button type="button" class="btn sq" data-do="console-full" aria-label="Full screen">${icon(frame, 'full')}</button></div></header>
<p class="in small" id="console-note" role="status" hidden></p>
${box(frame, vm, type)}</section>
<noscript><p class="note">${names[type]} needs JavaScript. On any machine: <code>novacron vm ${type === 'serial' ? 'console' : 'screen'} ${vm.name}</code></p></noscript>
${vmMenu(frame, vm)}
${vmDeleteDialog(frame, vm, null)}`
}

function switcher(vm: Vm, type: ConsoleType): Html {
  const path = vmPath(vm)
  const link = (of: ConsoleType, text: string, href: string) => html`<a href="${href}"${of === type ? html` aria-current="page"` : ''}>${text}</a>`
  return html`<nav class="tabs" aria-label="Console">${link('serial', 'Serial', `${path}/console`)}${link('screen', 'Screen', `${path}/screen`)}</nav>`
}

function screenTools(frame: Frame): Html {
  return html`<button type="button" class="btn" data-do="screen-copy" id="screen-copy" hidden>${icon(frame, 'copy')}Copy from guest</button><button type="button" class="btn" data-do="screen-scale" id="screen-scale" aria-pressed="true">Fit to window</button><button type="button" class="btn" data-do="screen-keys" data-command="Send Ctrl Alt Delete">${icon(frame, 'keyboard')}Ctrl Alt Del</button>`
}

function box(frame: Frame, vm: Vm, type: ConsoleType): Html {
  const ticket = html`id="console" data-path="/api/v1/vms/${vm.id}/console" data-type="${type}" data-csrf="${frame.csrf}" data-link="${frame.asset('console-link.js')}" hx-morph-skip`
  if (type === 'serial') return html`<div class="screen term" role="region" aria-label="Serial console of ${vm.name}. Press Ctrl Shift Escape to leave." data-terminal="${frame.asset('xterm.mjs')}" ${ticket}></div>`
  return html`<div class="screen vnc" tabindex="0" role="application" aria-label="Screen of ${vm.name}. Keys go to the VM; Ctrl Shift Escape leaves." data-picture="Picture of the screen of ${vm.name}" data-novnc="${frame.asset(`${novncFolder}/core/rfb.js`)}" ${ticket}></div>`
}

export function consoleScripts(frame: Frame, type: ConsoleType): Html {
  return html`<script type="module" src="${frame.asset(type === 'serial' ? 'console.js' : 'screen.js')}"></script>
`
}

export function consoleStyles(frame: Frame, type: ConsoleType): Html {
  return type === 'serial' ? html`<link rel="stylesheet" href="${frame.asset('xterm.css')}">
` : html``
}
