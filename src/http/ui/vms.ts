// The list of VMs, and what is done to several at once.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import { isId } from '../../model/id.ts'
import type { Vm } from '../../model/vm.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { bulkResults, vmAddressCell, vmListDefaults, vmNews, vmNodeCell, vmsPage, vmStateCell, type BulkResult } from '../../../ui/views/vms.ts'
import { listUrl } from '../../../ui/views/table.ts'
import { vmPath } from '../../../ui/views/vm-words.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { ask, askUrl } from './list-query.ts'
import type { Cell } from './cell.ts'
import { sparkCells } from './charts.ts'
import { answerPage, isPartial, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerParts, fieldOf, formOf, problemOf, writeOptionsOf } from './write.ts'

export function vmsRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/vms', (context) => {
      const caller = callerOf(context)
      const frame = requestFrame(ui, context)
      const listed = ask(context, vmListDefaults, (query) => app.vms.list(caller, query))
      const sparks = new Map([...sparkCells(ui, caller, frame, { kind: 'vm', ids: listed.items.map((vm) => vm.id) })].map(([id, cell]) => [id, cell.html]))
      const query = new URL(context.req.url).searchParams.toString()
      return answerPage(ui, context, frame, { title: 'Virtual machines', section: 'vms', live: `page=vms${query === '' ? '' : `&${query}`}` }, vmsPage(frame, { ...listed, counts: app.vms.counts(caller), sparks }))
    })
    .post('/vms/bulk', (context) => actOnSeveral(ui, context))
}

const bulkWords = { start: 'Start', stop: 'Shut down', migrate: 'Migrate', delete: 'Delete' } as const
type BulkAction = keyof typeof bulkWords
export const bulkMax = 100
/** All of them move at the same time; a drain moves more, a few at once. */
const bulkMigrateMax = 16

async function actOnSeveral(ui: Ui, context: UiContext): Promise<Response> {
  const form = formOf(context)
  const action = fieldOf(form, 'action')
  const ids = [...new Set(form.getAll('id'))].filter((id) => isId(id))
  if (!isBulkAction(action) || ids.length === 0 || ids.length > bulkMax) {
    throw new OperationalError('INVALID', `Select 1 to ${bulkMax} VMs and what to do with them.`, { data: { fields: [{ path: 'id', message: `must name 1 to ${bulkMax} VMs` }] } })
  }
  if (action === 'delete' && fieldOf(form, 'confirm') !== `delete ${ids.length}`) {
    throw new OperationalError('INVALID', `Nothing was deleted: “delete ${ids.length}” has to be typed.`, { data: { fields: [{ path: 'confirm', message: `must be “delete ${ids.length}”` }] } })
  }
  if (action === 'migrate' && ids.length > bulkMigrateMax) {
    throw new OperationalError('INVALID', `At most ${bulkMigrateMax} VMs are migrated at once. To empty a node, drain it: its VMs move a few at a time. Nothing was done.`, { data: { fields: [{ path: 'id', message: `must name 1 to ${bulkMigrateMax} VMs` }] } })
  }
  const results = action === 'migrate' ? await migrateInTurn(ui, context, ids) : await Promise.all(ids.map((id) => actOnOne(ui, context, id, action)))
  const frame = requestFrame(ui, context)
  const body = bulkResults(frame, bulkWords[action], results)
  if (!isPartial(context)) return answerPage(ui, context, frame, { title: bulkWords[action], section: 'vms', crumbs: [{ text: 'Virtual machines', href: '/vms' }] }, body)
  return answerParts(context, [{ target: '#bulk-results', swap: 'outerHTML', html: body }])
}

function isBulkAction(text: string): text is BulkAction {
  return Object.hasOwn(bulkWords, text)
}

/** One after the other, so that each finds its place with those before it counted. */
async function migrateInTurn(ui: Ui, context: UiContext, ids: readonly string[]): Promise<readonly BulkResult[]> {
  const results: BulkResult[] = []
  for (const id of ids) results.push(await actOnOne(ui, context, id, 'migrate'))
  return results
}

async function actOnOne(ui: Ui, context: UiContext, id: string, action: BulkAction): Promise<BulkResult> {
  const caller = callerOf(context)
  let vm: Vm | null = null
  try {
    vm = ui.app.vms.get(caller, id)
    const options = writeOptionsOf(context, id)
    const begun = action === 'delete' ? await ui.app.vms.delete(caller, id, {}, options) : action === 'migrate' ? await ui.app.vms.migrate(caller, id, {}, options) : await ui.app.vms.act(caller, id, action, {}, options)
    const target = action === 'migrate' && 'status' in begun ? begun.status.node : null
    return { name: vm.name, path: vmPath(vm), ok: true, text: target === null ? 'Under way.' : `Under way to ${target}.`, code: '' }
  } catch (error) {
    const problem = problemOf(error)
    return { name: vm?.name ?? id, path: vm === null ? `/vms/${id}` : vmPath(vm), ok: false, text: problem.detail, code: problem.code }
  }
}

/** Cells of the rows that were there when the stream began; later ones are told as news. */
export function vmsCells(ui: Ui, caller: Caller, query: URLSearchParams): (frame: Frame) => Cell[] {
  const url = new URL(`https://list/vms?${query.toString()}`)
  const read = () => askUrl(url, vmListDefaults, (list) => ui.app.vms.list(caller, list))
  const begun = new Set(read().items.map((vm) => vm.id))
  return (frame) => {
    const listed = read()
    const rows = listed.items.filter((vm) => begun.has(vm.id))
    const fresh = listed.items.length - rows.length
    const known = new Set(listed.items.map((vm) => vm.id))
    const gone = [...begun].filter((id) => !known.has(id)).length
    return [
      { id: 'vms-news', html: vmNews(fresh, gone, listUrl(listed.list, {}, vmListDefaults)) },
      ...rows.flatMap((vm): Cell[] => [
        { id: `state-${vm.id}`, html: vmStateCell(frame, vm) },
        { id: `node-${vm.id}`, html: vmNodeCell(vm) },
        { id: `addr-${vm.id}`, html: vmAddressCell(vm) },
      ]),
      ...sparkCells(ui, caller, frame, { kind: 'vm', ids: rows.map((vm) => vm.id) }).values(),
    ]
  }
}
