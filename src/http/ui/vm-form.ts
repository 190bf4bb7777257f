// Creating and editing a VM from forms.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { allows } from '../../model/role.ts'
import { OperationalError, type FieldError } from '../../model/error.ts'
import type { Vm } from '../../model/vm.ts'
import type { Problem } from '../../../ui/views/note.ts'
import { vmCreateForm, vmCreatePage, vmEditDraft, vmEditForm, vmEditPage, vmSizes, vmSummary, type FieldErrors, type VmCreateForm, type VmDraft, type VmEditDraft, type VmEditForm, type VmSummary } from '../../../ui/views/vm-form.ts'
import { differenceList } from '../../../ui/views/difference.ts'
import { mebibytes } from '../../../ui/views/figures.ts'
import type { Frame, Html } from '../../../ui/views/frame.ts'
import { vmPath } from '../../../ui/views/vm-words.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { permittedList } from './permitted.ts'
import { answerPage, isPartial, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { commandOf, labelsOf, numberOf, specOf } from './vm-draft.ts'
import { answerParts, answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

const choicesMax = 200

export function vmFormRoutes(ui: Ui): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .get('/vms/new', async (context) => {
      const frame = requestFrame(ui, context)
      const draft = emptyDraft(ui, callerOf(context), new URL(context.req.url).searchParams)
      return answerPage(ui, context, frame, createOptions, vmCreatePage(frame, await createForm(ui, context, draft, {}, null)))
    })
    .post('/vms', (context) => create(ui, context))
    .post('/ui/vms/summary', async (context) => {
      const draft = draftOf(formOf(context))
      return answerParts(context, [{ target: '#summary', swap: 'outerMorph', html: vmSummary(await summaryOf(ui, context, draft)) }])
    })
    .post('/ui/vms/:ref/changes', async (context) => answerParts(context, [{ target: '#changes', swap: 'outerMorph', html: await changesOf(ui, context) }]))
    .get('/vms/:ref/edit', (context) => {
      const vm = ui.app.vms.get(callerOf(context), refOf(context))
      return answerEdit(ui, context, { vm, draft: vmEditDraft(vm), errors: {}, problem: null }, 200)
    })
    .post('/vms/:ref/edit', (context) => edit(ui, context))
}

const createOptions = { title: 'Create VM', section: 'vms', crumbs: [{ text: 'Virtual machines', href: '/vms' }], slim: true } as const

function emptyDraft(ui: Ui, caller: Caller, query: URLSearchParams): VmDraft {
  const images = ui.app.images.list(caller, { limit: 1, after: null, sort: null, filter: null }).items
  const asked = query.get('image') ?? ''
  return { name: '', project: projectsOf(ui, caller)[0] ?? 'default', image: asked === '' ? (images[0]?.name ?? '') : asked, size: 'small', cpus: '1', memory: '512', disk: '', network: 'nat', node: query.get('node') ?? '', strategy: 'spread', apart: '', labels: '', firmware: 'bios', userData: '', start: true }
}

/** Those in which the caller may make VMs; the project default first. */
function projectsOf(ui: Ui, caller: Caller): readonly string[] {
  const names = ui.app.projects.list(caller, { limit: choicesMax, after: null, sort: null, filter: null }).items.map((project) => project.name).filter((name) => allows(caller.bindings, 'operate', name))
  return names.toSorted((left, right) => Number(right === 'default') - Number(left === 'default'))
}

export function draftOf(form: URLSearchParams): VmDraft {
  const field = (name: string) => fieldOf(form, name)
  return {
    name: field('name'), project: field('project') === '' ? 'default' : field('project'), image: field('image'), size: field('size'), cpus: field('cpus'), memory: field('memory'), disk: field('disk'), network: field('network'),
    node: field('node'), strategy: field('strategy'), apart: field('apart'), labels: field('labels'), firmware: field('firmware'), userData: form.get('userData')?.replaceAll('\r\n', '\n') ?? '', start: field('start') === 'yes',
  }
}

async function create(ui: Ui, context: UiContext): Promise<Response> {
  const draft = draftOf(formOf(context))
  try {
    const written = await ui.app.vms.create(callerOf(context), { name: draft.name, ...(draft.project === 'default' ? {} : { project: draft.project }), ...labelsOf(draft.labels), spec: specOf(draft) }, writeOptionsOf(context))
    return answerRedirect(context, 'dryRun' in written ? '/vms' : vmPath(written))
  } catch (error) {
    const { errors, rest } = splitErrors(problemOf(error), createFields)
    const data = await createForm(ui, context, draft, errors, rest)
    const frame = requestFrame(ui, context)
    if (isPartial(context)) return answerParts(context, [{ target: '#form', swap: 'outerHTML', html: vmCreateForm(frame, data) }], statusOf(error))
    return answerPage(ui, context, frame, { ...createOptions, status: statusOf(error) }, vmCreatePage(frame, data))
  }
}

async function createForm(ui: Ui, context: UiContext, draft: VmDraft, errors: FieldErrors, problem: Problem | null): Promise<VmCreateForm> {
  const caller = callerOf(context)
  const all = { limit: choicesMax, after: null, sort: null, filter: null }
  return { draft, errors, problem, images: ui.app.images.list(caller, all).items, nodes: permittedList(() => ui.app.nodes.list(caller, all)).items, projects: projectsOf(ui, caller), summary: await summaryOf(ui, context, draft) }
}

/** Asks with a dry run whether and where it fits. */
async function summaryOf(ui: Ui, context: UiContext, draft: VmDraft): Promise<VmSummary> {
  const size = draft.size === 'custom' ? `${draft.cpus} CPU, ${draft.memory} MiB` : sizeText(draft.size)
  const rows: [string, string][] = [
    ['Image', draft.image === '' ? 'none' : draft.image], ['Size', size], ['Disk', draft.disk === '' ? (draft.image === '' ? 'none' : 'as the image') : `${draft.disk} GiB`],
    ['Network', draft.network === '' ? 'none' : draft.network],
  ]
  const place = await placeOf(ui, context, draft)
  return { rows: [...rows, ['Node', place.node]], reason: place.reason, considered: place.considered, command: commandOf(draft) }
}

function sizeText(size: string): string {
  const known = Object.hasOwn(vmSizes, size) ? vmSizes[size as keyof typeof vmSizes] : vmSizes.small
  return `${known.cpus} CPU, ${mebibytes(known.memoryMiB)}`
}

type PlaceView = Pick<VmSummary, 'reason' | 'considered'> & { readonly node: string }

async function placeOf(ui: Ui, context: UiContext, draft: VmDraft): Promise<PlaceView> {
  const asked = draft.node === '' ? 'best fit' : draft.node
  if (draft.name === '') return { node: asked, reason: '', considered: [] }
  try {
    const options = { ...writeOptionsOf(context), idempotencyKey: null, dryRun: true }
    const answer = await ui.app.vms.create(callerOf(context), { name: draft.name, ...(draft.project === 'default' ? {} : { project: draft.project }), ...labelsOf(draft.labels), spec: specOf(draft) }, options)
    const placement = 'dryRun' in answer ? answer.placement : undefined
    if (placement === undefined) return { node: asked, reason: '', considered: [] }
    return { node: placement.node ?? asked, reason: `${placement.node ?? asked}: ${placement.reason}.`, considered: placement.considered }
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    const telling = error.code === 'NO_FIT' || error.code === 'REFERENCE_MISSING' || error.code === 'NO_QUORUM'
    return { node: asked, reason: telling ? error.message : '', considered: [] }
  }
}

/** Path in the request → field of the form, the first that fits. */
const createFields: readonly (readonly [RegExp, keyof VmDraft])[] = [
  [/^project$/, 'project'],
  [/^name$/, 'name'], [/^spec\.cpus/, 'cpus'], [/^spec\.memoryMiB/, 'memory'], [/^spec\.disks(?:\.\d+)?\.image/, 'image'], [/^spec\.disks/, 'disk'], [/^spec\.nics/, 'network'],
  [/^spec\.placement\.antiAffinity/, 'apart'], [/^spec\.placement\.strategy/, 'strategy'], [/^spec\.placement/, 'node'], [/^labels/, 'labels'], [/^spec\.firmware/, 'firmware'], [/^spec\.cloudInit/, 'userData'],
]

const editFields: readonly (readonly [RegExp, keyof VmEditDraft])[] = [
  [/^name$/, 'name'], [/^spec\.cpus/, 'cpus'], [/^spec\.memoryMiB/, 'memory'], [/^labels/, 'labels'], [/^spec\.runState/, 'runState'],
]

/** Sorts an error's fields to those of the form; what belongs to none stays with the error. */
export function splitErrors<Field extends string>(problem: Problem, fields: readonly (readonly [RegExp, Field])[]): { readonly errors: Readonly<Partial<Record<Field, string>>>; readonly rest: Problem | null } {
  const errors: Partial<Record<Field, string>> = {}
  const others: FieldError[] = []
  for (const wrong of problem.fields) {
    const field = fields.find(([pattern]) => pattern.test(wrong.path))?.[1]
    if (field === undefined) others.push(wrong)
    else errors[field] ??= sentence(wrong.message)
  }
  if (problem.code === 'NAME_TAKEN' && Object.keys(errors).length === 0) return { errors: { name: problem.detail } as Partial<Record<Field, string>>, rest: null }
  return { errors, rest: Object.keys(errors).length > 0 && others.length === 0 ? null : { ...problem, fields: others } }
}

function sentence(message: string): string {
  const text = `${message.charAt(0).toUpperCase()}${message.slice(1)}`
  return /[.!?]$/.test(text) ? text : `${text}.`
}

async function edit(ui: Ui, context: UiContext): Promise<Response> {
  const caller = callerOf(context)
  const form = formOf(context)
  const vm = ui.app.vms.get(caller, refOf(context))
  const draft = editDraftOf(form)
  try {
    const changed = await ui.app.vms.patch(caller, vm.id, patchOf(vm, draft, numberOf(fieldOf(form, 'revision'))), writeOptionsOf(context))
    return answerRedirect(context, 'dryRun' in changed ? vmPath(vm) : vmPath(changed))
  } catch (error) {
    const { errors, rest } = splitErrors(problemOf(error), editFields)
    return answerEdit(ui, context, { vm, draft, errors, problem: rest }, statusOf(error))
  }
}

/** The difference that saving would make, or why it would be refused. */
async function changesOf(ui: Ui, context: UiContext): Promise<Html> {
  const caller = callerOf(context)
  const form = formOf(context)
  const vm = ui.app.vms.get(caller, refOf(context))
  const options = { ...writeOptionsOf(context), idempotencyKey: null, dryRun: true }
  try {
    const answer = await ui.app.vms.patch(caller, vm.id, patchOf(vm, editDraftOf(form), numberOf(fieldOf(form, 'revision'))), options)
    return differenceList('changes', 'dryRun' in answer ? answer.differences : [], null)
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    return differenceList('changes', [], error.message)
  }
}

function editDraftOf(form: URLSearchParams): VmEditDraft {
  return { name: fieldOf(form, 'name'), cpus: fieldOf(form, 'cpus'), memory: fieldOf(form, 'memory'), labels: fieldOf(form, 'labels'), runState: fieldOf(form, 'runState') }
}

/** Only what differs, so that two people may change different things; labels that are gone become null. */
function patchOf(vm: Vm, draft: VmEditDraft, revision: unknown): Record<string, unknown> {
  const { labels } = { labels: {}, ...labelsOf(draft.labels) }
  const removed = Object.fromEntries(Object.keys(vm.labels).filter((key) => !Object.hasOwn(labels, key)).map((key) => [key, null]))
  const spec = {
    ...(draft.cpus === String(vm.spec.cpus) ? {} : { cpus: numberOf(draft.cpus) }),
    ...(draft.memory === String(vm.spec.memoryMiB) ? {} : { memoryMiB: numberOf(draft.memory) }),
    ...(draft.runState === vm.spec.runState ? {} : { runState: draft.runState }),
  }
  const specChanged = Object.keys(spec).length > 0
  return { ...(draft.name === vm.name ? {} : { name: draft.name }), labels: { ...labels, ...removed }, ...(specChanged ? { spec } : {}), ...(specChanged ? { revision } : {}) }
}

function answerEdit(ui: Ui, context: UiContext, data: VmEditForm, status: number): Response | Promise<Response> {
  const frame: Frame = requestFrame(ui, context)
  if (isPartial(context)) return answerParts(context, [{ target: '#form', swap: 'outerHTML', html: vmEditForm(frame, data) }], status)
  const crumbs = [{ text: 'Virtual machines', href: '/vms' }, { text: data.vm.name, href: vmPath(data.vm) }]
  return answerPage(ui, context, frame, { title: 'Edit', section: 'vms', crumbs, live: `page=vm&id=${data.vm.id}`, status }, vmEditPage(frame, data))
}
