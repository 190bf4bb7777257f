// What the pages of nodes post: admit an appliance, rename a node, remove it.
import { Hono } from 'hono'
import { OperationalError } from '../../model/error.ts'
import type { Node } from '../../model/node.ts'
import type { DialogState } from '../../../ui/views/node-membership.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { refOf, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, problemOf, statusOf, writeOptionsOf } from './write.ts'

export type NodeDialogs = { readonly renaming: DialogState; readonly removing: DialogState }
export const closedDialogs: NodeDialogs = { renaming: null, removing: null }
type AnswerNode = (context: UiContext, node: Node, dialogs: NodeDialogs, status: number) => Response | Promise<Response>

/** @param answer the page of a node, with a dialog open */
export function nodeMembershipRoutes({ app }: Ui, answer: AnswerNode): Hono<HttpEnv> {
  const nodeOf = (context: UiContext) => app.nodes.get(callerOf(context), refOf(context))
  return new Hono<HttpEnv>()
    .post('/nodes/discovered/:fingerprint/admit', async (context) => {
      const node = await app.nodes.admit(callerOf(context), context.req.param('fingerprint'), writeOptionsOf(context))
      return answerRedirect(context, 'dryRun' in node ? '/nodes' : `/nodes/${node.name}`)
    })
    .get('/nodes/:ref/rename', (context) => answer(context, nodeOf(context), { ...closedDialogs, renaming: {} }, 200))
    .get('/nodes/:ref/remove', (context) => answer(context, nodeOf(context), { ...closedDialogs, removing: {} }, 200))
    .post('/nodes/:ref/rename', async (context) => {
      const node = nodeOf(context)
      const typed = fieldOf(formOf(context), 'name')
      try {
        const renamed = await app.nodes.patch(callerOf(context), node.id, { name: typed }, writeOptionsOf(context))
        return answerRedirect(context, `/nodes/${'dryRun' in renamed ? node.name : renamed.name}`)
      } catch (error) {
        return answer(context, node, { ...closedDialogs, renaming: { typed, error: sentenceOf(error) } }, statusOf(error))
      }
    })
    .post('/nodes/:ref/remove', async (context) => {
      const node = nodeOf(context)
      const form = formOf(context)
      const refuse = (error: string, status: number) => answer(context, node, { ...closedDialogs, removing: { error } }, status)
      if (fieldOf(form, 'confirm') !== node.name) return refuse(`Type ${node.name} to confirm.`, 422)
      const force = fieldOf(form, 'force') === 'yes'
      try {
        await app.nodes.remove(callerOf(context), node.id, force ? { force, hostIsOff: true } : {}, writeOptionsOf(context))
      } catch (error) {
        return refuse(sentenceOf(error), statusOf(error))
      }
      return answerRedirect(context, '/nodes')
    })
}

/** A refusal stands in the dialog; what says that nothing is certain is a page of its own. */
function sentenceOf(error: unknown): string {
  if (error instanceof OperationalError && error.code === 'OUTCOME_UNKNOWN') throw error
  const { detail, fields } = problemOf(error)
  return fields[0] === undefined ? detail : `${fields[0].path} ${fields[0].message}.`
}
