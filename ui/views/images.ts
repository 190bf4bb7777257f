// Images: what VMs can start from, with upload and deletion.
import { html } from 'hono/html'
import type { Image } from '../../src/model/image.ts'
import { ageTag, bytes, count } from './figures.ts'
import { changeButton, confirmField, hiddenFields, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'
import { columnHeads, filterForm, pager, type Column, type ListState } from './table.ts'

export const imageListDefaults = { sort: 'name', limit: 25 } as const

export type ImageList = {
  readonly items: readonly Image[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly mistake: string | null
  /** The image whose delete dialog the page was asked with. */
  readonly deleting: { readonly image: Image; readonly error?: string } | null
}

const columns: readonly Column[] = [
  { text: 'Name', sort: 'name' },
  { text: 'Format' },
  { text: 'Disk', look: 'num' },
  { text: 'File', look: 'num w1' },
  { text: 'Used by', look: 'num w1' },
  { text: 'On nodes', look: 'w2' },
  { text: 'Checksum', look: 'w3' },
  { text: 'Age', look: 'w2 num' },
  { text: 'Actions', hidden: true },
]

export function imagesPage(frame: Frame, data: ImageList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Images</h1>${asOf(frame)}</div><p>What a VM's disk begins as. An uploaded image lies on the node that took it: ${frame.cluster.node}.</p></div></div>
${uploadForm(frame)}
${filterForm(data.list, { label: 'Filter images', placeholder: 'Name', target: '#images', defaults: imageListDefaults })}
${imageSection(frame, data)}
${data.deleting === null ? '' : deleteDialog(frame, data.deleting.image, data.deleting.error)}`
}

function uploadForm(frame: Frame): Html {
  return html`<section class="card" aria-labelledby="up-h"><header><div><h2 id="up-h">Upload an image</h2><p>A qcow2 or raw file. It is checked before it counts.</p></div></header><form class="in col wide" id="upload" data-upload="/api/v1/images" data-csrf="${frame.csrf}"><div class="two">${textField(frame, { id: 'image-name', name: 'name', label: 'Name', required: true, help: 'Lower-case letters, digits and hyphens.' })}<div class="field"><label for="image-file">File</label><input type="file" class="input" id="image-file" name="file" required></div></div><div id="upload-note"></div><div class="col" id="upload-progress" hidden><div class="row far"><span class="state go">${icon(frame, 's-busy', 'spin')}<span data-upload-word>Uploading</span></span><span data-upload-figure></span></div><progress max="100" value="0" aria-label="Upload"></progress></div><div class="row">${changeButton(frame, { text: 'Upload', icon: 'upload', look: 'main', id: 'upload-go' })}<button type="button" class="btn" data-do="upload-cancel" hidden>Cancel</button></div><noscript><p class="small">The upload needs JavaScript. On the command line: <code>novacron image import NAME FILE</code></p></noscript></form></section>`
}

function imageSection(frame: Frame, data: ImageList): Html {
  if (data.items.length === 0) {
    const text = data.mistake ?? (data.list.q === '' ? 'Upload a file above to add the first.' : `Nothing fits “${data.list.q}”.`)
    return html`<section class="card" id="images" aria-label="Image list">${emptyNote(frame, { icon: 'image', title: data.list.q === '' ? 'No images yet' : 'No image fits', text })}</section>`
  }
  return html`<section class="card live" id="images" aria-label="Image list"><table role="table" class="tbl cards stick" data-rows><caption class="vh">Images</caption><thead role="rowgroup"><tr role="row">${columnHeads(frame, columns, data.list, { target: '#images', defaults: imageListDefaults })}</tr></thead><tbody role="rowgroup">${data.items.map((image) => imageRow(frame, image))}</tbody></table>${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#images', defaults: imageListDefaults, noun: 'images' })}</section>`
}

function imageRow(frame: Frame, image: Image): Html {
  const { spec, status } = image
  return html`<tr role="row" id="image-${image.id}"><th role="rowheader" scope="row" class="a-name"><span class="b">${image.name}</span>${spec.os === '' ? '' : html` <span class="tag">${spec.os}</span>`}</th><td role="cell" class="a-sub">${spec.format}<span class="p-only dim"> · ${status.nodes.join(', ')}</span></td><td role="cell" class="num a-end nowrap">${bytes(spec.virtualSizeBytes)}</td><td role="cell" class="num w1 nowrap">${bytes(spec.sizeBytes)}</td><td role="cell" class="num w1">${count(status.uses)}</td><td role="cell" class="w2">${status.nodes.join(', ')}</td><td role="cell" class="w3 mono" title="${spec.sha256}">${spec.sha256.slice(0, 12)}…</td><td role="cell" class="w2 num dim nowrap">${ageTag(frame, status.createdAt)}</td><td role="cell" class="a-act num"><a class="btn bare sq risk" href="/images/${image.id}/delete" data-change${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`} aria-label="Delete ${image.name}…">${icon(frame, 'trash')}</a></td></tr>`
}

function deleteDialog(frame: Frame, image: Image, error: string | undefined): Html {
  return html`<dialog id="delete-image" aria-labelledby="di-h" data-open open><form method="post" action="/images/${image.id}/delete">${hiddenFields(frame)}<div class="hd"><h2 id="di-h">Delete ${image.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in"><p>Its file is removed from ${image.status.nodes.length === 0 ? 'every node' : image.status.nodes.join(', ')}. VMs made of it keep their disks.</p>${confirmField(frame, { id: 'image-confirm', text: image.name, error })}</div><div class="ft"><a class="btn" href="/images" data-do="close">Cancel</a>${changeButton(frame, { text: `Delete ${image.name}`, look: 'main risk', armed: true, id: 'delete-go' })}</div></form></dialog>`
}
