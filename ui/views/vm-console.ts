// The serial console of a VM; the terminal's code loads only here.
import { html } from 'hono/html'
import type { Vm } from '../../src/model/vm.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { vmDeleteDialog, vmHead, vmMenu } from './vm.ts'

export function vmConsolePage(frame: Frame, vm: Vm): Html {
  return html`${vmHead(frame, vm, 'console')}
<section class="card" aria-labelledby="co-h"><header><div class="row"><h2 id="co-h">Serial console</h2><span class="state" id="console-state">Connecting</span></div><div class="row"><span class="dim small p-hide">Ctrl Shift Escape leaves</span><button type="button" class="btn" data-do="console-paste">${icon(frame, 'copy')}Paste</button><button type="button" class="btn sq" data-do="console-full" aria-label="Full screen">${icon(frame, 'full')}</button></div></header>
<div class="screen term" id="console" role="region" aria-label="Serial console of ${vm.name}. Press Ctrl Shift Escape to leave." data-src="/api/v1/vms/${vm.id}/console" data-terminal="${frame.asset('xterm.mjs')}" hx-morph-skip></div></section>
<noscript><p class="note">The console needs JavaScript. On any node: <code>novacron vm console ${vm.name}</code></p></noscript>
${vmMenu(frame, vm)}
${vmDeleteDialog(frame, vm, null)}`
}

export function consoleScripts(frame: Frame): Html {
  return html`<script type="module" src="${frame.asset('console.js')}"></script>
`
}

export function consoleStyles(frame: Frame): Html {
  return html`<link rel="stylesheet" href="${frame.asset('xterm.css')}">
`
}
