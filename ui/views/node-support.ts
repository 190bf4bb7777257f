// What is wrong with a node's copy of the state, and its support bundle: what is in it, and where to get it.
import { html } from 'hono/html'
import type { Node } from '../../src/model/node.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'

/** Part of a live cell. */
export function nodeDivergence(frame: Frame, node: Node): Html {
  const condition = node.status.conditions.find(({ type }) => type === 'StateDiverged')
  return condition === undefined ? html`` : html`<div class="note bad" id="node-diverged">${icon(frame, 's-warn')}<div class="grow"><p><b>The state of ${node.name} is not the cluster's</b></p><p class="small">${condition.message}</p></div></div>`
}

/** A bundle is of the node that answers: another one's is got from its own page, or on its host. */
export function nodeSupport(frame: Frame, node: Node): Html {
  if (!frame.user.administrator) return html``
  const isOwn = node.name === frame.cluster.node
  const where = isOwn
    ? html`<a class="btn" href="/api/v1/cluster/support-bundle" download id="support-bundle">${icon(frame, 'download')}Download</a>`
    : html`<a class="btn" href="${node.status.url}/nodes/${node.name}">${icon(frame, 'link')}On its own page</a>`
  return html`<section class="card" aria-labelledby="sb-h"><header><h2 id="sb-h">Support bundle</h2>${where}</header><div class="in"><p>What ${node.name} knows of itself, in one file: the state where its log begins and every command since, its configuration, consensus and versions, figures, and the last lines of its log.</p><p class="small">Passwords, keys, tokens, user data and addresses of imports are taken out; names, labels and IP addresses are in it. On the host: <code>novacron support-bundle</code>, which works also where this page does not.</p></div></section>`
}
