// Images: what VMs can start from, where their copies are and what stands on them; upload, import from an address, edit, deletion.
import { html } from 'hono/html'
import type { Image } from '../../src/model/image.ts'
import type { Operation } from '../../src/model/operation.ts'
import { ageTag, bytes, count, many } from './figures.ts'
import { changeButton, confirmField, hiddenFields, selectField, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote, problemNote, type Problem } from './note.ts'
import { columnHeads, filterForm, pager, type Column, type ListState } from './table.ts'

export const imageListDefaults = { sort: 'name', limit: 25 } as const

export type ImageDialog =
  | { readonly kind: 'delete'; readonly image: Image; readonly error?: string }
  | { readonly kind: 'edit'; readonly image: Image; readonly problem?: Problem; readonly values?: ImageValues }
export type ImageValues = { readonly name: string; readonly copies: string; readonly labels: string }
export type UrlValues = { readonly name: string; readonly url: string; readonly sha256: string; readonly copies: string }

export type ImageList = {
  readonly items: readonly Image[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly mistake: string | null
  /** Imports from addresses that are going on. */
  readonly importing: readonly Operation[]
  /** The dialog that the page was asked with. */
  readonly dialog: ImageDialog | null
  /** What a refused import from an address was. */
  readonly refused: { readonly problem: Problem; readonly values: UrlValues } | null
}

const columns: readonly Column[] = [
  { text: 'Name', sort: 'name' },
  { text: 'Format' },
  { text: 'Disk', look: 'num' },
  { text: 'File', look: 'num w1' },
  { text: 'Used by', look: 'w1' },
  { text: 'Copies', look: 'w2' },
  { text: 'Checksum', look: 'w3' },
  { text: 'Age', look: 'w2 num' },
  { text: 'Actions', hidden: true },
]

export function imagesPage(frame: Frame, data: ImageList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Images</h1>${asOf(frame)}</div><p>What a VM's disk begins as. Nodes fetch an image from each other when they need it.</p></div></div>
${importingCards(frame, data.importing)}
<div class="two">${uploadForm(frame)}${urlForm(frame, data.refused)}</div>
${filterForm(data.list, { label: 'Filter images', placeholder: 'Name', target: '#images', defaults: imageListDefaults })}
${imageSection(frame, data)}
${data.dialog === null ? '' : data.dialog.kind === 'delete' ? deleteDialog(frame, data.dialog.image, data.dialog.error) : editDialog(frame, data.dialog)}`
}

export function imagesScripts(frame: Frame): Html {
  return html`<script src="${frame.asset('upload.js')}" defer></script>
`
}

const copiesHelp = 'A number of nodes, or all.'

function uploadForm(frame: Frame): Html {
  return html`<section class="card" aria-labelledby="up-h"><header><div><h2 id="up-h">Upload a file</h2><p>qcow2 or raw, in parts: after a break it goes on where it was.</p></div></header><form class="in col wide" id="upload" data-upload="/api/v1/uploads" data-csrf="${frame.csrf}"><div class="two">${textField(frame, { id: 'image-name', name: 'name', label: 'Name', required: true, help: 'Lower-case letters, digits and hyphens.' })}${textField(frame, { id: 'image-copies', name: 'copies', label: 'Copies', value: '2', help: copiesHelp })}</div><div class="field"><label for="image-file">File</label><input type="file" class="input" id="image-file" name="file" required></div><div id="upload-note"></div><div class="col" id="upload-progress" hidden><div class="row far"><span class="state go">${icon(frame, 's-busy')}<span data-upload-word aria-live="polite">Uploading</span></span><span data-upload-figure></span></div><progress max="100" value="0" aria-label="Upload"></progress></div><div class="row">${changeButton(frame, { text: 'Upload', icon: 'upload', look: 'main', id: 'upload-go' })}<button type="button" class="btn" id="upload-pause" hidden>Pause</button><button type="button" class="btn" id="upload-cancel" hidden>Cancel</button></div><noscript><p class="small">The upload needs JavaScript. On the command line: <code>novacron image import NAME FILE</code></p></noscript></form></section>`
}

function urlForm(frame: Frame, refused: ImageList['refused']): Html {
  const values = refused?.values ?? { name: '', url: '', sha256: '', copies: '2' }
  return html`<section class="card" aria-labelledby="url-h"><header><div><h2 id="url-h">Import from an address</h2><p>This node fetches it: http or https, from the public internet.</p></div></header><form class="in col wide" id="import" method="post" action="/images/import">${hiddenFields(frame)}${refused === null ? '' : problemNote(frame, refused.problem)}<div class="two">${textField(frame, { id: 'url-name', name: 'name', label: 'Name', value: values.name, required: true })}${textField(frame, { id: 'url-copies', name: 'copies', label: 'Copies', value: values.copies, help: copiesHelp })}</div>${textField(frame, { id: 'url-url', name: 'url', label: 'Address', value: values.url, placeholder: 'https://', required: true, type: 'url' })}${textField(frame, { id: 'url-sha256', name: 'sha256', label: 'SHA-256', value: values.sha256, help: 'Optional: another file is refused then.' })}<div class="row">${changeButton(frame, { text: 'Import', icon: 'download', look: 'main', id: 'import-go' })}</div></form></section>`
}

/** A live cell. */
export function importingCards(frame: Frame, importing: readonly Operation[]): Html {
  return html`<div id="importing" class="col wide">${importing.map((operation) => importingCard(frame, operation))}</div>`
}

function importingCard(frame: Frame, operation: Operation): Html {
  const { target } = operation.spec
  const progress = operation.status.progress ?? null
  const known = progress !== null && progress.totalBytes > 0
  const percent = known ? Math.floor((progress.processedBytes / progress.totalBytes) * 100) : 0
  const figure = progress === null ? 'beginning' : `${bytes(progress.processedBytes)}${known ? ` of ${bytes(progress.totalBytes)}` : ''}, ${bytes(progress.bytesPerSecond)}/s`
  return html`<section class="card go" id="importing-${operation.id}" aria-labelledby="im-${operation.id}"><header><div><h2 id="im-${operation.id}"><a class="plain" href="/operations/${operation.id}">Importing ${target.name}</a></h2><p>By ${operation.status.actor}${operation.status.node === null ? '' : ` on ${operation.status.node}`}.</p></div><form method="post">${hiddenFields(frame, `cancel.${operation.id}`)}${changeButton(frame, { text: 'Cancel', icon: 'x', path: `/operations/${operation.id}/cancel`, id: `cancel-${operation.id}`, command: `Cancel: import ${target.name}` })}</form></header><div class="in col"><div class="row far small"><span>${known ? `${percent} %` : ''}</span><span>${figure}</span></div><progress max="100"${known ? html` value="${percent}"` : ''} aria-label="Import of ${target.name}">${percent} %</progress></div></section>`
}

/** A live cell. */
export function imageSection(frame: Frame, data: Pick<ImageList, 'items' | 'total' | 'next' | 'list' | 'mistake'>): Html {
  if (data.items.length === 0) {
    const text = data.mistake ?? (data.list.q === '' ? 'Upload a file, or give an address, to add the first.' : `Nothing fits “${data.list.q}”.`)
    return html`<section class="card" id="images" aria-label="Image list">${emptyNote(frame, { icon: 'image', title: data.list.q === '' ? 'No images yet' : 'No image fits', text })}</section>`
  }
  return html`<section class="card live" id="images" aria-label="Image list"><table role="table" class="tbl cards stick" data-rows><caption class="vh">Images</caption><thead role="rowgroup"><tr role="row">${columnHeads(frame, columns, data.list, { target: '#images', defaults: imageListDefaults })}</tr></thead><tbody role="rowgroup">${data.items.map((image) => imageRow(frame, image))}</tbody></table>${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#images', defaults: imageListDefaults, noun: 'images' })}</section>`
}

function imageRow(frame: Frame, image: Image): Html {
  const { spec, status } = image
  const refusal = frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`
  return html`<tr role="row" id="image-${image.id}"><th role="rowheader" scope="row" class="a-name"><span class="b">${image.name}</span>${spec.os === '' ? '' : html` <span class="tag">${spec.os}</span>`}</th><td role="cell" class="a-sub">${spec.format}<span class="p-only dim"> · ${copiesText(image)}</span></td><td role="cell" class="num a-end nowrap">${bytes(spec.virtualSizeBytes)}</td><td role="cell" class="num w1 nowrap">${bytes(spec.sizeBytes)}</td><td role="cell" class="w1">${usersText(image)}</td><td role="cell" class="w2">${copiesText(image)}<span class="dim small"> ${status.nodes.join(', ')}</span>${fetchingText(image)}</td><td role="cell" class="w3 mono" title="${spec.sha256}">${spec.sha256.slice(0, 12)}…</td><td role="cell" class="w2 num dim nowrap">${ageTag(frame, status.createdAt)}</td><td role="cell" class="a-act num nowrap"><a class="btn bare sq" href="/images/${image.id}/edit" data-change${refusal} aria-label="Edit ${image.name}…">${icon(frame, 'edit')}</a><a class="btn bare sq risk" href="/images/${image.id}/delete" data-change${refusal} aria-label="Delete ${image.name}…">${icon(frame, 'trash')}</a></td></tr>`
}

/** "2 of 3", or what there is where nobody said how many. */
function copiesText(image: Image): string {
  const { nodes, copiesWanted } = image.status
  return copiesWanted === null || nodes.length === copiesWanted ? count(nodes.length) : `${count(nodes.length)} of ${count(copiesWanted)}`
}

function usersText(image: Image): Html {
  const { usedBy } = image.status
  if (usedBy.count === 0) return html`<span class="dim">nothing</span>`
  const more = usedBy.count - usedBy.names.length
  return html`${usedBy.names.map((name, at) => html`${at === 0 ? '' : ', '}<a href="/vms/${name}">${name}</a>`)}${more > 0 ? ` and ${count(more)} more` : ''}`
}

function fetchingText(image: Image): Html {
  return html`${image.status.fetching.map(({ node, processedBytes, totalBytes }) => html`<span class="small go"> → ${node}${totalBytes === null || totalBytes === 0 ? '' : ` ${Math.floor((processedBytes / totalBytes) * 100)} %`}</span>`)}`
}

function editDialog(frame: Frame, { image, problem, values }: Extract<ImageDialog, { kind: 'edit' }>): Html {
  const { copies } = image.spec
  const shown = values ?? { name: image.name, copies: copies === undefined ? '' : String(copies), labels: Object.entries(image.labels).map(([key, value]) => `${key}=${value}`).join(', ') }
  const known = ['', '1', '2', '3', '5', 'all']
  const choices = [...new Set([...known, shown.copies])].filter((value) => value !== '' || shown.copies === '').map((value) => ({ value, text: value === '' ? 'not set: it stays where it is' : value === 'all' ? 'on every node' : many(Number(value), 'copy', 'copies') }))
  return html`<dialog id="edit-image" aria-labelledby="ei-h" data-open open><form method="post" action="/images/${image.id}/edit">${hiddenFields(frame)}<input type="hidden" name="revision" value="${String(image.revision)}"><div class="hd"><h2 id="ei-h">Edit ${image.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in col wide">${problem === undefined ? '' : problemNote(frame, problem)}${textField(frame, { id: 'edit-name', name: 'name', label: 'Name', value: shown.name, required: true, help: 'Disks made of it stay what they are.' })}${selectField(frame, { id: 'edit-copies', name: 'copies', label: 'Copies', value: shown.copies, choices, help: 'Nodes with the most room fetch what is missing; a copy too many goes once nothing on its node needs it.' })}${textField(frame, { id: 'edit-labels', name: 'labels', label: 'Labels', value: shown.labels, placeholder: 'env=prod, team=web' })}</div><div class="ft"><a class="btn" href="/images" data-do="close">Cancel</a>${changeButton(frame, { text: 'Save', look: 'main', id: 'edit-go' })}</div></form></dialog>`
}

function deleteDialog(frame: Frame, image: Image, error: string | undefined): Html {
  const { usedBy, nodes } = image.status
  const inUse = usedBy.count === 0 ? '' : html`<p class="b">${many(usedBy.count, 'VM')} made of it: ${usersText(image)}. It cannot be deleted before they are.</p>`
  return html`<dialog id="delete-image" aria-labelledby="di-h" data-open open><form method="post" action="/images/${image.id}/delete">${hiddenFields(frame)}<div class="hd"><h2 id="di-h">Delete ${image.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in">${inUse}<p>Its file of ${bytes(image.spec.sizeBytes)} is removed from ${nodes.length === 0 ? 'every node' : nodes.join(', ')}.</p>${confirmField(frame, { id: 'image-confirm', text: image.name, error })}</div><div class="ft"><a class="btn" href="/images" data-do="close">Cancel</a>${changeButton(frame, { text: `Delete ${image.name}`, look: 'main risk', armed: true, id: 'delete-go', ...(usedBy.count === 0 ? {} : { refusal: `${many(usedBy.count, 'VM')} made of it` }) })}</div></form></dialog>`
}
