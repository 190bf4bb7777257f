// The one page of a node whose state is not the cluster's: what happened, what was not affected, and what to do.
import { html } from 'hono/html'
import type { Divergence } from '../../src/model/checkpoint.ts'
import type { Html } from './frame.ts'

/** Without a shell: who is signed in is not sure here. @param divergence null for whoever has not signed in */
export function divergedPage(divergence: Divergence | null): Html {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>State differs · NovaCron</title></head>
<body><main><h1>This node has another state than the cluster</h1>
${divergence === null ? html`<p>It serves nothing of it, so nobody can sign in here. Its VMs run on. The other nodes serve and know the truth: open the page of one of them. On this host root runs <code>novacron doctor</code>.</p>` : details(divergence)}</main></body></html>`
}

function details({ phase, index, hash, expected }: Divergence): Html {
  return html`<p>At index ${index} or before it came to differ: its hash there is <code>${hash}</code>, the cluster's <code>${expected}</code>. ${phase === 'doubt' ? 'It asks the others who is right; try again in a moment.' : 'It has stopped serving and voting.'}</p>
<p>Its VMs run on. The other nodes serve and know the truth: open the page of one of them.</p>
<p>What to do:</p><ol>
<li>Its data directory should hold the evidence, <code>diverged-${index}.bundle.gz</code>. If not, run <code>novacron support-bundle</code> on this host as root before its daemon is restarted: what the daemon remembers of the difference is lost with its process.</li>
<li>Stop its daemon, move the directory <code>state</code> in its data directory aside, and start the daemon: it gets the cluster's state from the other nodes, and goes on with its VMs.</li>
<li>Send the bundle to who develops NovaCron: <code>make replay BUNDLE=FILE</code> names the entry that was applied differently.</li></ol>`
}
