// The list of nodes and the page of one.
import { Hono } from 'hono'
import { html } from 'hono/html'
import type { Caller } from '../../app/face.ts'
import type { Node } from '../../model/node.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { nodeCells as cellsCard, nodeFacts, nodeFigures, nodeHead, nodePage, nodeVms, type NodeDetails } from '../../../ui/views/node.ts'
import { chartScripts, chartsSection, chartStyles, type ChartRange } from '../../../ui/views/metrics.ts'
import { nodesConsensus, nodesLine, nodesPage, nodesTable, type NodeList } from '../../../ui/views/nodes.ts'
import { migrationsCard } from '../../../ui/views/migrations.ts'
import { nodeDrainDialog, nodeDrainPlan, type DrainPlan } from '../../../ui/views/node-drain.ts'
import { nodeRemoveDialog, nodeRenameDialog, nodesFound } from '../../../ui/views/node-membership.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { chartCells, rangeOf, readCharts, sparkCells } from './charts.ts'
import { closedDialogs, nodeMembershipRoutes, type NodeDialogs } from './node-membership.ts'
import { answerPage, isPartial, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { migrationsCell, migrationsOf } from './vm-migrate.ts'
import { answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

const nodesMax = 1000
const vmsDrawnMax = 200
const eventsShown = 8

export function nodesRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/nodes', (context) => {
      const frame = requestFrame(ui, context)
      return answerPage(ui, context, frame, { title: 'Nodes', section: 'nodes', live: 'page=nodes' }, nodesPage(frame, readNodes(ui, callerOf(context), frame)))
    })
    .get('/nodes/:ref', (context) => answerNode(ui, context, app.nodes.get(callerOf(context), refOf(context)), closedDialogs, 200))
    .route('/', nodeMembershipRoutes(ui, (context, node, dialogs, status) => answerNode(ui, context, node, dialogs, status)))
    .get('/nodes/:ref/drain', async (context) => {
      const node = app.nodes.get(callerOf(context), refOf(context))
      return answerNode(ui, context, node, closedDialogs, 200, { plan: await drainPlanOf(ui, context, node) })
    })
    .get('/ui/nodes/:ref/drain-plan', async (context) => {
      const node = app.nodes.get(callerOf(context), refOf(context))
      if (!isPartial(context)) return context.redirect(`/nodes/${node.name}/drain`, 303)
      return context.html(nodeDrainPlan(requestFrame(ui, context), await drainPlanOf(ui, context, node)))
    })
    .post('/nodes/:ref/drain', async (context) => {
      const node = app.nodes.get(callerOf(context), refOf(context))
      try {
        await app.nodes.drain(callerOf(context), node.id, { concurrency: Number(fieldOf(formOf(context), 'concurrency')) || 2 }, writeOptionsOf(context))
      } catch (error) {
        return answerNode(ui, context, node, closedDialogs, statusOf(error), { error: problemOf(error).detail, plan: null })
      }
      return answerRedirect(context, `/nodes/${node.name}`)
    })
    .post('/nodes/:ref/uncordon', async (context) => {
      const node = app.nodes.get(callerOf(context), refOf(context))
      await app.nodes.uncordon(callerOf(context), node.id, writeOptionsOf(context))
      return answerRedirect(context, `/nodes/${node.name}`)
    })
    .post('/nodes/:ref/schedulable', async (context) => {
      const caller = callerOf(context)
      const node = app.nodes.get(caller, refOf(context))
      await app.nodes.patch(caller, node.id, { spec: { schedulable: fieldOf(formOf(context), 'schedulable') === 'yes' } }, writeOptionsOf(context))
      return answerRedirect(context, `/nodes/${node.name}`)
    })
}

/** Where each VM of the node would go, or why it cannot be drained. */
async function drainPlanOf(ui: Ui, context: UiContext, node: Node): Promise<DrainPlan> {
  try {
    const answer = await ui.app.nodes.drain(callerOf(context), node.id, {}, { ...writeOptionsOf(context), idempotencyKey: null, dryRun: true })
    if (!('dryRun' in answer)) return null
    const moves = answer.differences.flatMap(({ path, after }) => {
      const name = /^vms\.(.+)\.node$/.exec(path)?.[1]
      return name === undefined ? [] : [{ name, node: typeof after === 'string' ? after : null }]
    })
    return { moves, notes: answer.notes ?? [] }
  } catch (error) {
    return { refusal: problemOf(error).detail }
  }
}

function answerNode(ui: Ui, context: UiContext, node: Node, dialogs: NodeDialogs, status: number, draining: Parameters<typeof nodeDrainDialog>[2] = null): Response | Promise<Response> {
  const frame = requestFrame(ui, context)
  const data = readNode(ui, callerOf(context), node, { frame, range: rangeOf(context) })
  const body = html`${nodePage(frame, data)}${nodeRenameDialog(frame, node, dialogs.renaming)}${nodeRemoveDialog(frame, node, dialogs.removing)}${nodeDrainDialog(frame, node, draining)}`
  return answerPage(ui, context, frame, { title: node.name, section: 'nodes', crumbs: [{ text: 'Nodes', href: '/nodes' }], live: `page=node&id=${node.id}`, status, scripts: chartScripts(frame), styles: chartStyles(frame) }, body)
}

function readNodes(ui: Ui, caller: Caller, frame: Frame): NodeList {
  const nodes = ui.app.nodes.list(caller, { limit: nodesMax, after: null, sort: null, filter: null }).items
  const sparks = sparkCells(ui, caller, frame, { kind: 'node', ids: nodes.map((node) => node.id) })
  return { nodes, sparks: new Map([...sparks].map(([id, cell]) => [id, cell.html])), cluster: ui.app.membership.view(caller), found: ui.app.nodes.discovered(caller).items }
}

/** `charts` only where the whole page is made: they are no live part of it. */
function readNode(ui: Ui, caller: Caller, node: Node, charts: { readonly frame: Frame; readonly range: ChartRange } | null): NodeDetails {
  const { app } = ui
  const read = charts === null ? null : readCharts(ui, caller, { kind: 'node', id: node.id, page: `/nodes/${node.name}` }, charts.range)
  const vms = app.vms.list(caller, { limit: vmsDrawnMax, after: null, sort: null, filter: `node:${node.name}` })
  return { node, vms: vms.items, vmsTotal: vms.total, events: app.records.events(caller, { limit: eventsShown, after: null, sort: null, filter: `resource:${node.id}` }).items, charts: charts === null || read === null ? html`` : chartsSection(charts.frame, read), migrations: charts === null ? html`` : migrationsCard(charts.frame, migrationsOf(ui, caller, { kind: 'node', id: node.id }), 'node') }
}

export function nodesCells(ui: Ui, caller: Caller): (frame: Frame) => Cell[] {
  return (frame) => {
    const data = readNodes(ui, caller, frame)
    return [
      { id: 'nodes-line', html: nodesLine(data) },
      { id: 'nodes-found', html: nodesFound(frame, data.found) },
      { id: 'nodes-table', html: nodesTable(frame, data) },
      { id: 'nodes-raft', html: nodesConsensus(frame, data) },
    ]
  }
}

export function nodeCells(ui: Ui, caller: Caller, id: string): (frame: Frame) => Cell[] {
  return (frame) => {
    const data = readNode(ui, caller, ui.app.nodes.get(caller, id), null)
    return [
      { id: 'node-head', html: nodeHead(frame, data.node) },
      { id: 'node-figures', html: nodeFigures(frame, data.node) },
      { id: 'node-cells', html: cellsCard(data) },
      { id: 'node-vms', html: nodeVms(frame, data) },
      { id: 'node-facts', html: nodeFacts(frame, data.node) },
      migrationsCell(ui, caller, frame, { kind: 'node', id }),
      ...chartCells(ui, caller, frame, { kind: 'node', id, page: '' }),
    ]
  }
}
