// The page of consensus, and what its dialog posts.
import { Hono } from 'hono'
import { html } from 'hono/html'
import type { Caller } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'
import { consensusBody, consensusPage, memberDialog, type Consensus, type MemberSeries } from '../../../ui/views/consensus.ts'
import type { Frame } from '../../../ui/views/frame.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import type { Cell } from './cell.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

const lately = { rangeSeconds: 600, stepSeconds: 10 }

/** What the page may say was done; words of ours, never those of the URL. */
const doneWords: Readonly<Record<string, string>> = { lead: 'Leadership is handed over.', vote: 'The wish is kept; who votes follows as soon as it can.', compact: 'The log is shortened.' }

export function consensusRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  const voting = { promote: 'always', demote: 'never', 'auto-vote': 'auto' } as const
  const routes = new Hono<HttpEnv>()
    .get('/consensus', (context) => answerConsensus(ui, context, {}))
    .get('/consensus/:ref', (context) => answerConsensus(ui, context, { ref: refOf(context) }))
    .post('/consensus/:ref/lead', (context) => act(ui, context, 'lead', (caller, ref) => app.members.lead(caller, { node: ref }, writeOptionsOf(context))))
    .post('/consensus/:ref/compact', (context) => act(ui, context, 'compact', (caller, ref) => app.members.compact(caller, ref, writeOptionsOf(context))))
  for (const [verb, wish] of Object.entries(voting)) {
    routes.post(`/consensus/:ref/${verb}`, (context) => act(ui, context, 'vote', (caller, ref) => {
      const body = fieldOf(formOf(context), 'force') === 'yes' ? { force: true } : {}
      return app.members.vote(caller, ref, { voting: wish, body }, writeOptionsOf(context))
    }))
  }
  return routes
}

async function act(ui: Ui, context: UiContext, done: string, write: (caller: Caller, ref: string) => Promise<unknown>): Promise<Response> {
  const ref = refOf(context)
  try {
    await write(callerOf(context), ref)
  } catch (error) {
    // A refusal stands in the dialog; what says that nothing is certain is a page of its own.
    if (error instanceof OperationalError && error.code === 'OUTCOME_UNKNOWN') throw error
    return await answerConsensus(ui, context, { ref, error: problemOf(error).detail, status: statusOf(error) })
  }
  return answerRedirect(context, `/consensus?done=${done}`)
}

type Asked = { readonly ref?: string; readonly error?: string; readonly status?: number }

async function answerConsensus(ui: Ui, context: UiContext, { ref, error, status }: Asked): Promise<Response> {
  const caller = callerOf(context)
  const frame = requestFrame(ui, context)
  const data = await readConsensus(ui, caller)
  const member = ref === undefined ? undefined : data.view.members.find(({ id, name }) => id === ref || name === ref)
  if (ref !== undefined && member === undefined) throw new OperationalError('NOT_FOUND', `There is no node ${ref.slice(0, 80)}.`)
  const asked = new URL(context.req.url).searchParams.get('done') ?? ''
  const done = Object.hasOwn(doneWords, asked) ? (doneWords[asked] ?? null) : null
  const body = html`${consensusPage(frame, data, done)}${member === undefined ? '' : memberDialog(frame, member, error ?? null)}`
  return await answerPage(ui, context, frame, { title: 'Consensus', section: 'nodes', crumbs: [{ text: 'Nodes', href: '/nodes' }], live: 'page=consensus', ...(status === undefined ? {} : { status }) }, body)
}

async function readConsensus(ui: Ui, caller: Caller): Promise<Consensus> {
  const view = await ui.app.members.view(caller)
  const seriesOf = (id: string): MemberSeries => {
    const { series } = ui.app.measures.node(caller, id, lately)
    const points = (name: string) => series.find((each) => each.name === name)?.points ?? []
    return { append: points('append'), loopDelay: points('loopDelay') }
  }
  return { view, series: new Map(view.members.map(({ id }) => [id, seriesOf(id)])) }
}

/** What cannot be read leaves the cell as it was. */
export function consensusCells(ui: Ui, caller: Caller): (frame: Frame) => Cell[] {
  let last: Consensus | null = null
  return (frame) => {
    const read = readConsensus(ui, caller).then((data) => (last = data)).catch((error: unknown) => {
      if (last === null) throw error
      return last
    })
    return [{ id: 'consensus', html: read.then((data) => consensusBody(frame, data)) }]
  }
}
