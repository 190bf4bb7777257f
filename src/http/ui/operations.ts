// The list of operations, the page of one, and cancelling.
import { Hono } from 'hono'
import { html } from 'hono/html'
import type { Caller } from '../../app/face.ts'
import type { Operation } from '../../model/operation.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { toast } from '../../../ui/views/note.ts'
import { operationTitle } from '../../../ui/views/operation-words.ts'
import { operationDetails, operationLive, operationPage, operationState } from '../../../ui/views/operation.ts'
import { operationListDefaults, operationResultCell, operationStateCell, operationsPage, runningCards } from '../../../ui/views/operations.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { ask, askUrl } from './list-query.ts'
import type { Cell } from './cell.ts'
import { answerPage, isPartial, refOf, requestFrame, type Ui } from './page.ts'
import { answerParts, answerRedirect, writeOptionsOf } from './write.ts'

const runningShown = 10

export function operationsRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  return new Hono<HttpEnv>()
    .get('/operations', (context) => {
      const caller = callerOf(context)
      const frame = requestFrame(ui, context)
      const listed = ask(context, operationListDefaults, (query) => app.operations.list(caller, query))
      const query = new URL(context.req.url).searchParams.toString()
      return answerPage(ui, context, frame, { title: 'Operations', section: 'operations', live: `page=operations${query === '' ? '' : `&${query}`}` }, operationsPage(frame, { ...listed, running: runningOf(ui, caller) }))
    })
    .get('/operations/:ref', (context) => {
      const frame = requestFrame(ui, context)
      const operation = app.operations.get(callerOf(context), refOf(context))
      return answerPage(ui, context, frame, { title: operationTitle(operation), section: 'operations', crumbs: [{ text: 'Operations', href: '/operations' }], live: `page=operation&id=${operation.id}` }, operationPage(frame, operation))
    })
    .post('/operations/:ref/cancel', async (context) => {
      const caller = callerOf(context)
      const ref = refOf(context)
      await app.operations.cancel(caller, ref, writeOptionsOf(context))
      const operation = app.operations.get(caller, ref)
      if (!isPartial(context)) return answerRedirect(context, `/operations/${operation.id}`)
      const said = `${operationTitle(operation)}: cancelled.`
      return answerParts(context, [
        { target: '#toasts', swap: 'beforeend', html: toast(requestFrame(ui, context), said) },
        { target: '#say', swap: 'innerHTML', html: html`${said}` },
      ], 202)
    })
}

function runningOf(ui: Ui, caller: Caller): readonly Operation[] {
  return ui.app.operations.list(caller, { limit: runningShown, after: null, sort: null, filter: 'state:running' }).items
}

export function operationsCells(ui: Ui, caller: Caller, query: URLSearchParams): (frame: Frame) => Cell[] {
  const url = new URL(`https://list/operations?${query.toString()}`)
  return (frame) => [
    { id: 'op-running', html: runningCards(frame, runningOf(ui, caller)) },
    ...askUrl(url, operationListDefaults, (list) => ui.app.operations.list(caller, list)).items.flatMap((operation): Cell[] => [
      { id: `opstate-${operation.id}`, html: operationStateCell(frame, operation) },
      { id: `opresult-${operation.id}`, html: operationResultCell(frame, operation) },
    ]),
  ]
}

export function operationCells(ui: Ui, caller: Caller, id: string): (frame: Frame) => Cell[] {
  return (frame) => {
    const operation = ui.app.operations.get(caller, id)
    return [
      { id: 'op-state', html: operationState(frame, operation) },
      { id: 'op-card', html: operationLive(frame, operation) },
      { id: 'op-details', html: operationDetails(frame, operation) },
    ]
  }
}
