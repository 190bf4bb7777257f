// Projects: parts of the cluster with names of their own.
import { html } from 'hono/html'
import type { Project } from '../../src/model/project.ts'
import { ageTag, count } from './figures.ts'
import { changeButton, confirmField, hiddenFields, textField } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { asOf, emptyNote } from './note.ts'
import { columnHeads, filterForm, pager, type Column, type ListState } from './table.ts'

export const projectListDefaults = { sort: 'name', limit: 25 } as const

export type ProjectList = {
  readonly items: readonly Project[]
  readonly total: number
  readonly next: string | null
  readonly list: ListState
  readonly mistake: string | null
  readonly errors: Readonly<Record<string, string>>
  readonly typed: Readonly<Record<string, string>>
  readonly done: string | null
  /** The project whose dialog the page was asked with. */
  readonly dialog: { readonly kind: 'edit' | 'delete'; readonly project: Project } | null
}

const columns: readonly Column[] = [
  { text: 'Name', sort: 'name' }, { text: 'What it is for' }, { text: 'VMs', look: 'num' }, { text: 'Images', look: 'num w1' }, { text: 'Age', sort: 'created', look: 'w2 num' }, { text: 'Actions', hidden: true },
]

export function projectsPage(frame: Frame, data: ProjectList): Html {
  return html`<div class="head"><div><div class="row title"><h1>Projects</h1>${asOf(frame)}</div><p>Parts of the cluster with names of their own. Roles can be given for one alone; images of “default” are the library of all.</p></div></div>
${data.done === null ? '' : html`<div class="note" role="status">${icon(frame, 's-ok', 'ok')}<p>${data.done}</p></div>`}
${filterForm(data.list, { label: 'Filter projects', placeholder: 'Name', target: '#projects', defaults: projectListDefaults })}
${projectSection(frame, data)}
${frame.user.administrator ? newProjectCard(frame, data) : ''}
${data.dialog === null ? '' : data.dialog.kind === 'edit' ? editDialog(frame, data.dialog.project, data.errors) : deleteDialog(frame, data.dialog.project, data.errors)}`
}

function projectSection(frame: Frame, data: ProjectList): Html {
  if (data.items.length === 0) {
    return html`<section class="card" id="projects" aria-label="Project list">${emptyNote(frame, { icon: 'tag', title: data.list.q === '' ? 'No project is yours to see' : 'No project fits', text: data.mistake ?? (data.list.q === '' ? 'An administrator can give you a role in one.' : `Nothing fits “${data.list.q}”.`) })}</section>`
  }
  return html`<section class="card live" id="projects" aria-label="Project list"><table role="table" class="tbl cards stick" data-rows><caption class="vh">Projects</caption><thead role="rowgroup"><tr role="row">${columnHeads(frame, columns, data.list, { target: '#projects', defaults: projectListDefaults })}</tr></thead><tbody role="rowgroup">${data.items.map((project) => projectRow(frame, project))}</tbody></table>${pager(data.list, { shown: data.items.length, total: data.total, next: data.next }, { target: '#projects', defaults: projectListDefaults, noun: 'projects' })}</section>`
}

function projectRow(frame: Frame, project: Project): Html {
  const changeable = frame.user.administrator && project.name !== 'default'
  const link = (verb: 'edit' | 'delete', text: string, symbol: string, look: string) =>
    html`<a class="btn bare sq${look}" href="/projects/${project.name}/${verb}" data-change${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`} aria-label="${text} ${project.name}…">${icon(frame, symbol)}</a>`
  return html`<tr role="row" id="project-${project.id}"><th role="rowheader" scope="row" class="a-name"><a href="/vms?q=project%3A${project.name}">${project.name}</a></th><td role="cell" class="a-sub">${project.spec.description}</td><td role="cell" class="num a-end">${count(project.status.vms)}</td><td role="cell" class="num w1">${count(project.status.images)}</td><td role="cell" class="w2 num dim nowrap">${ageTag(frame, project.status.createdAt)}</td><td role="cell" class="a-act num">${changeable ? html`${link('edit', 'Change', 'edit', '')}${link('delete', 'Delete', 'trash', ' risk')}` : ''}</td></tr>`
}

function newProjectCard(frame: Frame, { errors, typed }: ProjectList): Html {
  return html`<section class="card" aria-labelledby="np-h"><header><h2 id="np-h">New project</h2></header><form class="in col wide" method="post" action="/projects">${hiddenFields(frame)}<div class="two">${textField(frame, { id: 'np-name', name: 'name', label: 'Name', value: typed['name'] ?? '', error: errors['name'], help: 'Lower-case letters, digits and hyphens.' })}${textField(frame, { id: 'np-description', name: 'description', label: 'What it is for', value: typed['description'] ?? '', error: errors['description'] })}</div><div>${changeButton(frame, { text: 'Make the project', icon: 'plus', look: 'main', id: 'np-go' })}</div></form></section>`
}

function editDialog(frame: Frame, project: Project, errors: Readonly<Record<string, string>>): Html {
  return html`<dialog id="edit-project" aria-labelledby="ep-h" data-open open><form method="post" action="/projects/${project.id}/edit">${hiddenFields(frame)}<div class="hd"><h2 id="ep-h">Change ${project.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in col wide">${textField(frame, { id: 'ep-name', name: 'name', label: 'Name', value: project.name, error: errors['edit.name'], help: 'VMs, images and roles go along with a new name.' })}${textField(frame, { id: 'ep-description', name: 'description', label: 'What it is for', value: project.spec.description, error: errors['edit.description'] })}</div><div class="ft"><a class="btn" href="/projects" data-do="close">Cancel</a>${changeButton(frame, { text: 'Save', look: 'main', id: 'ep-go' })}</div></form></dialog>`
}

function deleteDialog(frame: Frame, project: Project, errors: Readonly<Record<string, string>>): Html {
  return html`<dialog id="delete-project" aria-labelledby="dp-h" data-open open><form method="post" action="/projects/${project.id}/delete">${hiddenFields(frame)}<div class="hd"><h2 id="dp-h">Delete ${project.name}</h2><button class="btn bare sq" type="button" data-do="close" aria-label="Close">${icon(frame, 'x')}</button></div><div class="in"><p>Only an empty project can be deleted. The roles that people have in it go too.</p>${confirmField(frame, { id: 'project-confirm', text: project.name, error: errors['confirm'] })}</div><div class="ft"><a class="btn" href="/projects" data-do="close">Cancel</a>${changeButton(frame, { text: `Delete ${project.name}`, look: 'main risk', armed: true, id: 'delete-go' })}</div></form></dialog>`
}
