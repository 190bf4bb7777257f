// The page of an appliance in no cluster: what it is called, the fingerprint to compare, and how it becomes a member.
import { html } from 'hono/html'
import type { Html } from './frame.ts'

export type Unclustered = { readonly name: string; readonly fingerprint: string; readonly removed: { readonly clusterName: string; readonly at: string; readonly folder: string } | null }

/** Without style sheets: assets are the pages' of a cluster. */
export function unclusteredPage({ name, fingerprint, removed }: Unclustered): Html {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${name} · NovaCron</title></head>
<body><main><h1>This node is in no cluster yet</h1>${removed === null ? '' : html`<p>It was removed from cluster <b>${removed.clusterName}</b> at ${removed.at}. What it had of it lies in <code>${removed.folder}</code>; it may join again as a new member.</p>`}
<p>Name: <b>${name}</b></p>
<p>Fingerprint of its certificate, to compare before it is admitted:</p><p><code>${spacedFingerprint(fingerprint)}</code></p>
<p>On the page <b>Nodes</b> of a cluster on the same network it can be admitted. Or, on the node, as root, run <code>novacron cluster init</code> for a new cluster, or <code>novacron cluster join TOKEN</code> to join one.</p></main></body></html>`
}

/** In groups of four, as people compare them. */
export function spacedFingerprint(fingerprint: string): string {
  return fingerprint.match(/.{1,4}/g)?.join(' ') ?? ''
}
