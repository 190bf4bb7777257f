// The pages of a VM and its actions.
import { Hono } from 'hono'
import { html } from 'hono/html'
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import type { ConsoleType } from '../../model/console.ts'
import type { Event } from '../../model/event.ts'
import type { Operation } from '../../model/operation.ts'
import type { Vm, VmAction } from '../../model/vm.ts'
import { consoleScripts, consoleStyles, vmConsolePage } from '../../../ui/views/vm-console.ts'
import type { Frame, Html } from '../../../ui/views/frame.ts'
import { toast } from '../../../ui/views/note.ts'
import { operationProgressTitle } from '../../../ui/views/operation-words.ts'
import { vmActions, vmDetailsCard, vmEventsCard, vmEventsPage, vmGone, vmHeadLine, vmHeadState, vmOperation, vmPage, vmTrouble } from '../../../ui/views/vm.ts'
import { migrationsCard } from '../../../ui/views/migrations.ts'
import { vmRecoverPage, type VmRecoverForm } from '../../../ui/views/vm-recover.ts'
import { vmWhyPage } from '../../../ui/views/vm-why.ts'
import { vmStateCell } from '../../../ui/views/vms.ts'
import { vmPath } from '../../../ui/views/vm-words.ts'
import { chartScripts, chartsSection, chartStyles } from '../../../ui/views/metrics.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { chartCells, rangeOf, readCharts, type ChartSubject } from './charts.ts'
import { answerPage, isPartial, refOf, requestFrame, type PageOptions, type Ui, type UiContext } from './page.ts'
import { migrationsCell, migrationsOf } from './vm-migrate.ts'
import { answerParts, answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf, type Part } from './write.ts'

const eventsShown = 8
const eventsPageMax = 200
/** An operation that ended stays in sight for this long. */
const endedShownMs = 8000

export function vmRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/vms/:ref', (context) => answerVm(ui, context, null))
    .get('/vms/:ref/delete', (context) => answerVm(ui, context, {}))
    .get('/vms/:ref/console', (context) => answerConsole(ui, context, 'serial'))
    .get('/vms/:ref/screen', (context) => answerConsole(ui, context, 'screen'))
    .get('/vms/:ref/why', (context) => {
      const { vm, frame } = vmAndFrame(ui, context)
      return answerVmPage(ui, context, vm, frame, { title: 'Why?' }, vmWhyPage(frame, vm, app.vms.explain(callerOf(context), vm.id)))
    })
    .get('/vms/:ref/events', (context) => {
      const { vm, frame } = vmAndFrame(ui, context)
      return answerVmPage(ui, context, vm, frame, { title: 'Events' }, vmEventsPage(frame, vm, eventsOf(ui, callerOf(context), vm.id, eventsPageMax)))
    })
    .get('/vms/:ref/recover', (context) => answerRecover(ui, context, { error: undefined, problem: null }, 200))
    .post('/vms/:ref/recover', async (context) => {
      const vm = app.vms.get(callerOf(context), refOf(context))
      const [form, wanted] = [formOf(context), `${vm.status.node ?? vm.name} is off`]
      if (fieldOf(form, 'confirm') !== wanted) return answerRecover(ui, context, { error: `Type "${wanted}" to confirm.`, problem: null }, 422)
      const node = fieldOf(form, 'node')
      try {
        await app.vms.recover(callerOf(context), vm.id, { hostIsOff: true, loseDisks: true, ...(node === '' ? {} : { node }) }, writeOptionsOf(context))
      } catch (error) {
        return answerRecover(ui, context, { error: undefined, problem: problemOf(error) }, statusOf(error))
      }
      return answerRedirect(context, vmPath(vm))
    })
    .post('/vms/:ref/delete', async (context) => {
      const caller = callerOf(context)
      const vm = app.vms.get(caller, refOf(context))
      if (fieldOf(formOf(context), 'confirm') !== vm.name) return answerVm(ui, context, { error: `Type ${vm.name} to confirm.` }, 422)
      await app.vms.delete(caller, vm.id, {}, writeOptionsOf(context))
      return answerRedirect(context, '/vms')
    })
    .post('/vms/:ref/:action{start|stop|kill|restart|pause|resume|reset}', (context) => act(ui, context))
}

function answerRecover(ui: Ui, context: UiContext, state: Pick<VmRecoverForm, 'error' | 'problem'>, status: number): Response | Promise<Response> {
  const { vm, frame } = vmAndFrame(ui, context)
  const { placement } = ui.app.vms.explain(callerOf(context), vm.id)
  const page = vmRecoverPage(frame, { vm, placement, node: fieldOf(formOf(context), 'node'), ...state })
  return answerVmPage(ui, context, vm, frame, { title: 'Recover', status }, page)
}

const actions: Readonly<Record<string, { readonly action: VmAction; readonly body: object }>> = {
  start: { action: 'start', body: {} }, stop: { action: 'stop', body: {} }, kill: { action: 'stop', body: { force: true } },
  restart: { action: 'restart', body: {} }, pause: { action: 'pause', body: {} }, resume: { action: 'resume', body: {} }, reset: { action: 'reset', body: {} },
}

async function act(ui: Ui, context: UiContext): Promise<Response> {
  const caller = callerOf(context)
  const chosen = actions[context.req.param('action') ?? '']
  if (chosen === undefined) throw new OperationalError('NOT_FOUND', 'A VM knows no such action.')
  const ref = refOf(context)
  const written = await ui.app.vms.act(caller, ref, chosen.action, chosen.body, writeOptionsOf(context))
  const vm = ui.app.vms.get(caller, ref)
  if (!isPartial(context) || 'dryRun' in written) return answerRedirect(context, vmPath(vm))
  const frame = requestFrame(ui, context)
  const cells = vmPageCells(ui, caller, frame, vm)
  const said = `${operationProgressTitle(written)}.`
  const parts: Part[] = [
    ...cells.map((cell): Part => ({ target: `#${cell.id}`, swap: 'outerMorph', html: cell.html })),
    { target: `#state-${vm.id}`, swap: 'outerMorph', html: vmStateCell(frame, vm) },
    { target: '#page-note', swap: 'innerHTML', html: html`` },
    { target: '#toasts', swap: 'beforeend', html: toast(frame, said, { href: `/operations/${written.id}`, text: 'Show the operation' }) },
    { target: '#say', swap: 'innerHTML', html: html`${said}` },
  ]
  return answerParts(context, parts, 202)
}

function answerConsole(ui: Ui, context: UiContext, type: ConsoleType): Response | Promise<Response> {
  const { vm, frame } = vmAndFrame(ui, context)
  const options = { title: type === 'serial' ? 'Console' : 'Screen', scripts: consoleScripts(frame, type), styles: consoleStyles(frame, type) }
  return answerVmPage(ui, context, vm, frame, options, vmConsolePage(frame, vm, type))
}

function vmAndFrame(ui: Ui, context: UiContext): { readonly vm: Vm; readonly frame: Frame } {
  return { vm: ui.app.vms.get(callerOf(context), refOf(context)), frame: requestFrame(ui, context) }
}

function answerVmPage(ui: Ui, context: UiContext, vm: Vm, frame: Frame, options: Pick<PageOptions, 'title' | 'scripts' | 'styles' | 'status'>, body: Html): Response | Promise<Response> {
  const crumbs = [{ text: 'Virtual machines', href: '/vms' }, { text: vm.name, href: vmPath(vm) }]
  return answerPage(ui, context, frame, { ...options, section: 'vms', crumbs, live: `page=vm&id=${vm.id}` }, body)
}

function answerVm(ui: Ui, context: UiContext, deleting: { readonly error?: string } | null, status = 200): Response | Promise<Response> {
  const { vm, frame } = vmAndFrame(ui, context)
  const caller = callerOf(context)
  const charts = readCharts(ui, caller, subjectOf(vm), rangeOf(context))
  const body = vmPage(frame, { vm, operation: operationOf(ui, caller, vm), events: eventsOf(ui, caller, vm.id, eventsShown), charts: charts === null ? html`` : chartsSection(frame, charts), migrations: migrationsCard(frame, migrationsOf(ui, caller, { kind: 'vm', id: vm.id }), 'vm'), deleting })
  return answerPage(ui, context, frame, { title: vm.name, section: 'vms', crumbs: [{ text: 'Virtual machines', href: '/vms' }], live: `page=vm&id=${vm.id}`, status, scripts: chartScripts(frame), styles: chartStyles(frame) }, body)
}

function subjectOf(vm: Vm): ChartSubject {
  return { kind: 'vm', id: vm.id, page: vmPath(vm) }
}

/** The operation that runs on it, or the last one where it ended just now or failed. */
function operationOf(ui: Ui, caller: Caller, vm: Vm): Operation | null {
  if (vm.status.operation !== null) return ui.app.operations.get(caller, vm.status.operation)
  const latest = ui.app.operations.list(caller, { limit: 1, after: null, sort: null, filter: `targetId:${vm.id}` }).items[0]
  if (latest === undefined) return null
  const endedMs = latest.status.endedAt === null ? null : Date.parse(latest.status.endedAt)
  const recent = endedMs === null || ui.options.clock.nowMs() - endedMs < endedShownMs
  return recent || latest.status.state === 'failed' ? latest : null
}

function eventsOf(ui: Ui, caller: Caller, resourceId: string, limit: number): readonly Event[] {
  return ui.app.records.events(caller, { limit, after: null, sort: null, filter: `resource:${resourceId}` }).items
}

function vmPageCells(ui: Ui, caller: Caller, frame: Frame, vm: Vm): Cell[] {
  return [
    { id: 'vm-state', html: vmHeadState(frame, vm) },
    { id: 'vm-line', html: vmHeadLine(vm) },
    { id: 'vm-actions', html: vmActions(frame, vm) },
    { id: 'vm-trouble', html: vmTrouble(frame, vm) },
    { id: 'vm-op', html: vmOperation(frame, operationOf(ui, caller, vm)) },
    { id: 'vm-details', html: vmDetailsCard(frame, vm) },
    { id: 'vm-events', html: vmEventsCard(frame, vm, eventsOf(ui, caller, vm.id, eventsShown)) },
    migrationsCell(ui, caller, frame, { kind: 'vm', id: vm.id }),
    ...chartCells(ui, caller, frame, subjectOf(vm)),
  ]
}

export function vmCells(ui: Ui, caller: Caller, id: string): (frame: Frame) => Cell[] {
  return (frame) => {
    try {
      return vmPageCells(ui, caller, frame, ui.app.vms.get(caller, id))
    } catch (error) {
      if (!(error instanceof OperationalError) || error.code !== 'NOT_FOUND') throw error
      return [
        { id: 'vm-state', html: vmGone(frame).state },
        { id: 'page-note', html: vmGone(frame).note },
        { id: 'vm-op', html: vmOperation(frame, null) },
      ]
    }
  }
}
