// The page that begins a migration, and what the pages of VMs and nodes show of those that ended.
import { Hono } from 'hono'
import type { Caller } from '../../app/face.ts'
import type { Migration } from '../../model/migration.ts'
import { migrationsCard, vmMigratePage } from '../../../ui/views/migrations.ts'
import { toast, type Problem } from '../../../ui/views/note.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { vmPath } from '../../../ui/views/vm-words.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { answerPage, isPartial, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerParts, answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

const shownMax = 5

export function vmMigrateRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/vms/:ref/migrate', (context) => answerForm(ui, context, { problem: null, bandwidthError: undefined }, 200))
    .post('/vms/:ref/migrate', async (context) => {
      const caller = callerOf(context)
      const form = formOf(context)
      const [node, bandwidth] = [fieldOf(form, 'node'), fieldOf(form, 'bandwidth')]
      if (bandwidth !== '' && !/^[1-9]\d{0,4}$/.test(bandwidth)) return answerForm(ui, context, { problem: null, bandwidthError: 'It takes a whole number from 1 to 99999.' }, 422)
      try {
        await app.vms.migrate(caller, refOf(context), { ...(node === '' ? {} : { node }), ...(bandwidth === '' ? {} : { bandwidthMiBps: Number(bandwidth) }) }, writeOptionsOf(context))
      } catch (error) {
        return answerForm(ui, context, { problem: problemOf(error), bandwidthError: undefined }, statusOf(error))
      }
      const vm = app.vms.get(caller, refOf(context))
      if (!isPartial(context)) return answerRedirect(context, vmPath(vm))
      return answerParts(context, [{ target: '#toasts', swap: 'beforeend', html: toast(requestFrame(ui, context), `Migrating ${vm.name}.`) }], 202)
    })
}

function answerForm(ui: Ui, context: UiContext, state: { readonly problem: Problem | null; readonly bandwidthError: string | undefined }, status: number): Response | Promise<Response> {
  const caller = callerOf(context)
  const vm = ui.app.vms.get(caller, refOf(context))
  const frame = requestFrame(ui, context)
  const form = formOf(context)
  const node = fieldOf(form, 'node') === '' ? (new URL(context.req.url).searchParams.get('node') ?? '') : fieldOf(form, 'node')
  const page = vmMigratePage(frame, { vm, targets: ui.app.vms.migrationTargets(caller, vm.id), node, bandwidth: fieldOf(form, 'bandwidth'), ...state })
  return answerPage(ui, context, frame, { title: `Migrate ${vm.name}`, section: 'vms', crumbs: [{ text: 'Virtual machines', href: '/vms' }, { text: vm.name, href: vmPath(vm) }], live: `page=vm&id=${vm.id}`, status }, page)
}

/** The latest migrations of a VM or a node. */
export function migrationsOf(ui: Ui, caller: Caller, subject: { readonly kind: 'vm' | 'node'; readonly id: string }): readonly Migration[] {
  const filter = subject.kind === 'vm' ? `vmId:${subject.id}` : `node:${subject.id}`
  return ui.app.migrations.list(caller, { limit: shownMax, after: null, sort: null, filter }).items
}

export function migrationsCell(ui: Ui, caller: Caller, frame: Frame, subject: { readonly kind: 'vm' | 'node'; readonly id: string }): Cell {
  return { id: 'migrations', html: migrationsCard(frame, migrationsOf(ui, caller, subject), subject.kind) }
}
