// The forms that create and edit a VM: fields, errors in place, summary with the same thing as a command.
import { html } from 'hono/html'
import type { Image } from '../../src/model/image.ts'
import type { Node } from '../../src/model/node.ts'
import type { Vm } from '../../src/model/vm.ts'
import { differenceList } from './difference.ts'
import { bytes, mebibytes } from './figures.ts'
import { changeButton, errorSummary, field, hiddenFields, selectField, textField, type Choice } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { problemNote, type Problem } from './note.ts'
import { vmDeleteDialog, vmHead, vmMenu } from './vm.ts'
import { labelsText, vmPath } from './vm-words.ts'

/** What is typed in, as it was typed. */
export type VmDraft = {
  readonly name: string
  readonly project: string
  readonly image: string
  readonly size: string
  readonly cpus: string
  readonly memory: string
  readonly disk: string
  readonly network: string
  readonly node: string
  readonly strategy: string
  /** "tier=db, noisy=yes!": labels of VMs it keeps away from, ! where it must. */
  readonly apart: string
  readonly labels: string
  readonly firmware: string
  readonly userData: string
  readonly start: boolean
}

export const vmSizes = {
  small: { text: 'Small', cpus: 1, memoryMiB: 512 },
  medium: { text: 'Medium', cpus: 2, memoryMiB: 2048 },
  large: { text: 'Large', cpus: 4, memoryMiB: 8192 },
} as const

export type FieldErrors = Readonly<Partial<Record<keyof VmDraft, string>>>

export type VmCreateForm = {
  readonly draft: VmDraft
  readonly errors: FieldErrors
  /** An error that belongs to no field. */
  readonly problem: Problem | null
  readonly images: readonly Image[]
  readonly nodes: readonly Node[]
  /** Projects in which its reader may make VMs. */
  readonly projects: readonly string[]
  readonly summary: VmSummary
}

/** What would be made, from a dry run. */
export type VmSummary = {
  readonly rows: readonly (readonly [string, string])[]
  /** Why this place, or why none. */
  readonly reason: string
  /** What was thought of each node, best first. */
  readonly considered: readonly { readonly node: string; readonly fits: boolean; readonly reason: string }[]
  readonly command: string
}

const labels: Readonly<Record<keyof VmDraft, string>> = {
  name: 'Name', project: 'Project', image: 'Image', size: 'Size', cpus: 'CPUs', memory: 'Memory', disk: 'Disk', network: 'Network', node: 'Node', strategy: 'Placement', apart: 'Keep apart from', labels: 'Labels', firmware: 'Firmware', userData: 'User data', start: 'Start',
}

export function vmCreatePage(frame: Frame, data: VmCreateForm): Html {
  return html`<div class="head"><div><div class="row title"><h1>Create VM</h1></div><p>A name and an image are enough. Everything else has a sensible default.</p></div></div>
${vmCreateForm(frame, data)}`
}

/** The form with its errors: what a refused try swaps in. */
export function vmCreateForm(frame: Frame, data: VmCreateForm): Html {
  const { draft, errors } = data
  const list = (Object.keys(errors) as (keyof VmDraft)[]).map((id) => ({ id: `vm-${id}`, label: labels[id], message: errors[id] ?? '' }))
  return html`<form class="wizard" id="form" method="post" action="/vms" hx-post="/vms" hx-swap="none" hx-disable="find button[type=submit]" novalidate>${hiddenFields(frame)}
<div class="col wide">${data.problem === null ? '' : problemNote(frame, data.problem)}${errorSummary(frame, list)}<div class="card">
${basics(frame, data)}
${size(frame, draft, errors)}
<section class="step" aria-labelledby="st3"><div><h2 id="st3">Network</h2><p>NAT gives an address and a way out, no way in.</p></div><div class="two">${selectField(frame, { id: 'vm-network', name: 'network', label: 'Network', value: draft.network, error: errors.network, choices: [{ value: 'nat', text: 'nat' }, { value: '', text: 'none' }] })}</div></section>
${place(frame, data)}
<section class="step" aria-labelledby="st5"><div><h2 id="st5">First start</h2><p>For images with cloud-init.</p></div><details${draft.userData === '' && errors.userData === undefined ? '' : html` open`}><summary>User data</summary>${field(frame, { id: 'vm-userData', label: 'cloud-config or script', error: errors.userData, control: (attributes) => html`<textarea class="input" name="userData" rows="6" spellcheck="false"${attributes}>${draft.userData}</textarea>` })}</details></section>
</div></div>
<aside class="card" aria-labelledby="sum-h"><header><h2 id="sum-h">Summary</h2></header><div class="in col wide"><div hx-post="/ui/vms/summary" hx-trigger="input from:#form delay:300ms" hx-sync="this:replace" hx-target="#summary" hx-swap="outerMorph">${vmSummary(data.summary)}</div><label class="check"><input type="checkbox" name="start" value="yes"${draft.start ? html` checked` : ''}><span>Start now</span></label>${changeButton(frame, { text: 'Create VM', look: 'main big', id: 'create' })}</div></aside>
</form>`
}

function basics(frame: Frame, data: VmCreateForm): Html {
  const { draft, errors, images } = data
  return html`<section class="step" aria-labelledby="st1"><div><h2 id="st1">Basics</h2><p>What it is called and what it starts from.</p></div><div class="col wide">
${textField(frame, { id: 'vm-name', name: 'name', label: 'Name', value: draft.name, error: errors.name, required: true, help: 'Lower-case letters, digits and hyphens. Also its host name.' })}${data.projects.length === 1 && data.projects[0] === 'default' ? '' : selectField(frame, { id: 'vm-project', name: 'project', label: 'Project', value: draft.project, error: errors.project, choices: data.projects.map((name) => ({ value: name, text: name })), help: 'Names are unique in a project; roles can hold for one alone.' })}
${images.length > 8 ? imageSelect(frame, data) : imagePicks(frame, draft.image, images, errors.image)}</div></section>`
}

function imageText(image: Image): string {
  return `${image.spec.os === '' ? image.spec.format : image.spec.os}, ${bytes(image.spec.virtualSizeBytes)}`
}

function imageSelect(frame: Frame, data: VmCreateForm): Html {
  const choices: Choice[] = [...data.images.map((image) => ({ value: image.name, text: `${image.name} (${imageText(image)})` })), { value: '', text: 'No image, a blank disk' }]
  return selectField(frame, { id: 'vm-image', name: 'image', label: 'Image', value: data.draft.image, error: data.errors.image, choices })
}

function imagePicks(frame: Frame, chosen: string, images: readonly Image[], error: string | undefined): Html {
  const pick = (value: string, text: string, small: string, id: string) =>
    html`<label><input type="radio" name="image"${id === '' ? '' : html` id="${id}"`} value="${value}"${value === chosen ? html` checked` : ''}><span class="b">${text}</span><small>${small}</small></label>`
  return html`<div class="field" role="radiogroup" aria-labelledby="img-l"><span class="label" id="img-l">Image</span><div class="picks">${images.map((image, at) => pick(image.name, image.name, imageText(image), at === 0 ? 'vm-image' : ''))}${pick('', 'Blank disk', 'nothing on it', images.length === 0 ? 'vm-image' : '')}</div>${
    error === undefined ? '' : html`<span class="err">${icon(frame, 's-failed')}${error}</span>`
  }<span class="help"><a href="/images">Upload an image</a></span></div>`
}

function size(frame: Frame, draft: VmDraft, errors: FieldErrors): Html {
  const pick = (value: string, text: string, small: string) =>
    html`<label><input type="radio" name="size" value="${value}"${draft.size === value ? html` checked` : ''}><span class="b">${text}</span><small>${small}</small></label>`
  return html`<section class="step sized" aria-labelledby="st2"><div><h2 id="st2">Size</h2><p>Can be changed later.</p></div><div class="col wide">
<div class="picks four" role="radiogroup" aria-labelledby="st2">${Object.entries(vmSizes).map(([value, entry]) => pick(value, entry.text, `${entry.cpus} CPU, ${mebibytes(entry.memoryMiB)}`))}${pick('custom', 'Custom', 'set each figure')}</div>
<div class="two custom">${textField(frame, { id: 'vm-cpus', name: 'cpus', label: 'CPUs', value: draft.cpus, numeric: true, error: errors.cpus })}${textField(frame, { id: 'vm-memory', name: 'memory', label: 'Memory', value: draft.memory, numeric: true, suffix: 'MiB', error: errors.memory })}</div>
<div class="two">${textField(frame, { id: 'vm-disk', name: 'disk', label: 'Disk', value: draft.disk, numeric: true, suffix: 'GiB', placeholder: 'as the image', error: errors.disk })}${selectField(frame, { id: 'vm-firmware', name: 'firmware', label: 'Firmware', value: draft.firmware, error: errors.firmware, choices: [{ value: 'bios', text: 'BIOS' }, { value: 'uefi', text: 'UEFI' }] })}</div></div></section>`
}

function place(frame: Frame, data: VmCreateForm): Html {
  const { draft, errors } = data
  const choices: Choice[] = [
    { value: '', text: 'Best fit' },
    ...data.nodes.map((node) => ({ value: node.name, text: `${node.name}, ${mebibytes(Math.max(0, node.status.capacity.memoryMiB - node.status.allocated.memoryMiB))} free${node.status.ready ? '' : ', unreachable'}` })),
  ]
  return html`<section class="step" aria-labelledby="st4"><div><h2 id="st4">Where and how</h2></div><div class="two">${selectField(frame, { id: 'vm-node', name: 'node', label: 'Node', value: draft.node, choices, error: errors.node })}${selectField(frame, { id: 'vm-strategy', name: 'strategy', label: 'Placement', value: draft.strategy, error: errors.strategy, choices: [{ value: 'spread', text: 'Spread: most memory free' }, { value: 'pack', text: 'Pack: least that suffices' }] })}${textField(frame, { id: 'vm-apart', name: 'apart', label: 'Keep apart from', value: draft.apart, placeholder: 'tier=db', help: 'Labels of VMs it shares no node with, if possible; add ! where it must not.', error: errors.apart })}${textField(frame, { id: 'vm-labels', name: 'labels', label: 'Labels', value: draft.labels, placeholder: 'env=prod, team=web', error: errors.labels })}</div></section>`
}

export function vmSummary(summary: VmSummary): Html {
  return html`<div id="summary" class="col wide" aria-live="polite"><dl class="kv">${summary.rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>${summary.reason === '' ? '' : html`<p class="small dim">${summary.reason}</p>`}${
    summary.considered.length < 2 ? '' : html`<details><summary class="small">Why there</summary><ul class="small">${summary.considered.map((each) => html`<li><span class="b">${each.node}</span> ${each.fits ? '' : html`<span class="dim">no: </span>`}${each.reason}</li>`)}</ul></details>`
  }<details><summary class="small">As a command</summary><p class="mono small">${summary.command}</p></details></div>`
}

export type VmEditDraft = { readonly name: string; readonly cpus: string; readonly memory: string; readonly labels: string; readonly runState: string }
export type VmEditForm = {
  readonly vm: Vm
  readonly draft: VmEditDraft
  readonly errors: Readonly<Partial<Record<keyof VmEditDraft, string>>>
  readonly problem: Problem | null
}

export function vmEditPage(frame: Frame, data: VmEditForm): Html {
  return html`${vmHead(frame, data.vm, 'edit')}${vmEditForm(frame, data)}${vmMenu(frame, data.vm)}${vmDeleteDialog(frame, data.vm, null)}`
}

export function vmEditForm(frame: Frame, data: VmEditForm): Html {
  const { vm, draft, errors } = data
  const path = `${vmPath(vm)}/edit`
  const names: Readonly<Record<keyof VmEditDraft, string>> = { name: 'Name', cpus: 'CPUs', memory: 'Memory', labels: 'Labels', runState: 'Wanted state' }
  const list = (Object.keys(errors) as (keyof VmEditDraft)[]).map((id) => ({ id: `edit-${id}`, label: names[id], message: errors[id] ?? '' }))
  return html`<form class="col wide" id="form" method="post" action="${path}" hx-post="${path}" hx-swap="none" novalidate>${hiddenFields(frame)}<input type="hidden" name="revision" value="${vm.revision}">
${data.problem === null ? '' : problemNote(frame, data.problem)}${errorSummary(frame, list)}
<div class="card"><section class="step" aria-labelledby="ed1"><div><h2 id="ed1">Size and name</h2><p>CPUs and memory count from the next start.</p></div><div class="col wide">${textField(frame, { id: 'edit-name', name: 'name', label: 'Name', value: draft.name, error: errors.name })}<div class="two">${textField(frame, { id: 'edit-cpus', name: 'cpus', label: 'CPUs', value: draft.cpus, numeric: true, error: errors.cpus })}${textField(frame, { id: 'edit-memory', name: 'memory', label: 'Memory', value: draft.memory, numeric: true, suffix: 'MiB', error: errors.memory })}</div></div></section>
<section class="step" aria-labelledby="ed2"><div><h2 id="ed2">How it is kept</h2></div><div class="two">${selectField(frame, { id: 'edit-runState', name: 'runState', label: 'Wanted state', value: draft.runState, error: errors.runState, choices: [{ value: 'running', text: 'Running' }, { value: 'stopped', text: 'Stopped' }, { value: 'paused', text: 'Paused' }], help: 'What the cluster keeps it in.' })}${textField(frame, { id: 'edit-labels', name: 'labels', label: 'Labels', value: draft.labels, placeholder: 'env=prod, team=web', error: errors.labels })}</div></section></div>
<section class="card" aria-labelledby="ch-h"><header><h2 id="ch-h">What would change</h2></header><div class="in" hx-post="/ui/vms/${vm.id}/changes" hx-trigger="load, input from:#form delay:300ms" hx-sync="this:replace" hx-target="#changes" hx-swap="outerMorph">${differenceList('changes', [], null)}</div></section>
<div class="row">${changeButton(frame, { text: 'Save', look: 'main', id: 'save' })}<a class="btn" href="${vmPath(vm)}">Back to ${vm.name}</a></div></form>`
}

export function vmEditDraft(vm: Vm): VmEditDraft {
  return { name: vm.name, cpus: String(vm.spec.cpus), memory: String(vm.spec.memoryMiB), labels: labelsText(vm.labels), runState: vm.spec.runState }
}
