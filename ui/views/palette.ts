// What the palette offers: things first, then pages; commands on the thing of a page are added by the page's script.
import { html } from 'hono/html'
import type { Image } from '../../src/model/image.ts'
import type { Node } from '../../src/model/node.ts'
import type { Vm } from '../../src/model/vm.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { vmPath } from './vm-words.ts'

export type Found = { readonly vms: readonly Vm[]; readonly nodes: readonly Node[]; readonly images: readonly Image[] }
export const foundMax = 8

type PageOf = { readonly href: string; readonly icon: string; readonly text: string; readonly hint: string; /** Without that there is nothing to see. */ readonly needs?: 'looks' | 'cluster' | 'administrator' }
const pages: readonly PageOf[] = [
  { href: '/vms/new', icon: 'plus', text: 'Create VM', hint: 'Action · C', needs: 'looks' },
  { href: '/', icon: 'overview', text: 'Overview', hint: 'Page · G O', needs: 'cluster' },
  { href: '/vms', icon: 'vm', text: 'Virtual machines', hint: 'Page · G V', needs: 'looks' },
  { href: '/images', icon: 'image', text: 'Images', hint: 'Page', needs: 'looks' },
  { href: '/nodes', icon: 'node', text: 'Nodes', hint: 'Page · G N', needs: 'cluster' },
  { href: '/consensus', icon: 'node', text: 'Consensus: members, lag, leader', hint: 'Page', needs: 'cluster' },
  { href: '/operations', icon: 'ops', text: 'Operations', hint: 'Page · G P', needs: 'looks' },
  { href: '/events', icon: 'events', text: 'Events', hint: 'Page · G E', needs: 'looks' },
  { href: '/access', icon: 'access', text: 'Access: password, sessions, tokens', hint: 'Page' },
  { href: '/projects', icon: 'tag', text: 'Projects', hint: 'Page', needs: 'looks' },
  { href: '/users', icon: 'user', text: 'Users', hint: 'Page', needs: 'administrator' },
  { href: '/audit', icon: 'shield', text: 'Audit', hint: 'Page', needs: 'administrator' },
  { href: '/recovery', icon: 'backup', text: 'Backup and recovery', hint: 'Page', needs: 'administrator' },
]

/** Options of the list box that fit `query`. */
export function paletteOptions(frame: Pick<Frame, 'asset' | 'user'>, found: Found, query: string): Html {
  const words = query.trim().toLowerCase()
  const things = [
    ...found.vms.map((vm) => ({ href: vmPath(vm), icon: 'vm', text: vm.name, hint: `VM · ${vm.status.node ?? 'no node'}` })),
    ...found.nodes.map((node) => ({ href: `/nodes/${node.name}`, icon: 'node', text: node.name, hint: 'Node' })),
    ...found.images.map((image) => ({ href: `/images?q=${encodeURIComponent(image.name)}`, icon: 'image', text: image.name, hint: 'Image' })),
  ]
  const options = [...things.slice(0, foundMax).map((thing) => ({ ...thing, page: false })), ...pages.filter((page) => (page.needs === undefined || frame.user[page.needs]) && page.text.toLowerCase().includes(words)).map((page) => ({ ...page, page: true }))]
  return html`${options.map(
    (option, at) => html`<a role="option" id="p${at}" href="${option.href}" tabindex="-1" aria-selected="false"${option.page ? html` data-page` : ''}>${icon(frame, option.icon)}<span>${option.text}</span><small>${option.hint}</small></a>`,
  )}`
}
