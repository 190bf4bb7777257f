// Pages of projects.
import { Hono } from 'hono'
import { projectListDefaults, projectsPage, type ProjectList } from '../../../ui/views/projects.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { fieldErrorsOf } from './field-errors.ts'
import { ask } from './list-query.ts'
import { answerPage, refOf, requestFrame, type Ui, type UiContext } from './page.ts'
import { answerRedirect, fieldOf, formOf, statusOf, writeOptionsOf } from './write.ts'

const doneWords: Readonly<Record<string, string>> = { made: 'The project is made. Give people roles in it on their pages.', saved: 'Saved.', deleted: 'The project is deleted.' }

export function projectsRoutes(ui: Ui): Hono<HttpEnv> {
  const { app } = ui
  const projectOf = (context: UiContext) => app.projects.get(callerOf(context), refOf(context))
  return new Hono<HttpEnv>()
    .get('/projects', (context) => answerProjects(ui, context, { done: doneWords[new URL(context.req.url).searchParams.get('done') ?? ''] ?? null }))
    .post('/projects', async (context) => {
      const form = formOf(context)
      const [name, description] = [fieldOf(form, 'name'), fieldOf(form, 'description')]
      try {
        await app.projects.create(callerOf(context), { name, spec: { description } }, writeOptionsOf(context))
      } catch (error) {
        return answerProjects(ui, context, { errors: fieldErrorsOf(error, { otherwise: 'name', paths: { name: 'name', 'spec.description': 'description' } }), typed: { name, description } }, statusOf(error))
      }
      return answerRedirect(context, '/projects?done=made')
    })
    .get('/projects/:ref/edit', (context) => answerProjects(ui, context, { dialog: { kind: 'edit', project: projectOf(context) } }))
    .post('/projects/:ref/edit', async (context) => {
      const form = formOf(context)
      const project = projectOf(context)
      try {
        await app.projects.patch(callerOf(context), project.id, { name: fieldOf(form, 'name'), spec: { description: fieldOf(form, 'description') } }, writeOptionsOf(context))
      } catch (error) {
        const errors = fieldErrorsOf(error, { prefix: 'edit.', otherwise: 'name', paths: { name: 'name', 'spec.description': 'description' } })
        return answerProjects(ui, context, { dialog: { kind: 'edit', project }, errors }, statusOf(error))
      }
      return answerRedirect(context, '/projects?done=saved')
    })
    .get('/projects/:ref/delete', (context) => answerProjects(ui, context, { dialog: { kind: 'delete', project: projectOf(context) } }))
    .post('/projects/:ref/delete', async (context) => {
      const project = projectOf(context)
      const refuse = (errors: ProjectList['errors'], status: number) => answerProjects(ui, context, { dialog: { kind: 'delete', project }, errors }, status)
      if (fieldOf(formOf(context), 'confirm') !== project.name) return refuse({ confirm: `Type ${project.name} to confirm.` }, 422)
      try {
        await app.projects.delete(callerOf(context), project.id, writeOptionsOf(context))
      } catch (error) {
        return refuse(fieldErrorsOf(error, { otherwise: 'confirm', paths: {} }), statusOf(error))
      }
      return answerRedirect(context, '/projects?done=deleted')
    })
}

function answerProjects(ui: Ui, context: UiContext, extra: Partial<Pick<ProjectList, 'errors' | 'typed' | 'done' | 'dialog'>>, status = 200): Response | Promise<Response> {
  const caller = callerOf(context)
  const frame = requestFrame(ui, context)
  const listed = ask(context, projectListDefaults, (query) => ui.app.projects.list(caller, query))
  const data = { ...listed, list: { ...listed.list, path: '/projects' }, errors: {}, typed: {}, done: null, dialog: null, ...extra }
  return answerPage(ui, context, frame, { title: 'Projects', section: 'projects', status }, projectsPage(frame, data))
}
