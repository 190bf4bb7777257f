// The page of consensus: how its members are, what an operator should know, and the dialog by which one is steered.
import { html } from 'hono/html'
import type { ClusterMembers, Member, Timing } from '../../src/model/member.ts'
import { bytes, count, duration, many, unknown } from './figures.ts'
import { changeButton, hiddenFields } from './form.ts'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'
import { sparkLine } from './metrics.ts'
import { asOf } from './note.ts'
import { roleIcons, state, type StateWord } from './state.ts'

/** Series of the last ten minutes in seconds, by the member's id. */
export type MemberSeries = { readonly append: readonly (number | null)[]; readonly loopDelay: readonly (number | null)[] }
export type Consensus = { readonly view: ClusterMembers; readonly series: ReadonlyMap<string, MemberSeries> }

export function consensusPage(frame: Frame, data: Consensus, done: string | null): Html {
  return html`<div class="head"><div><div class="row title"><h1>Consensus</h1>${asOf(frame)}</div></div></div>
${done === null ? '' : html`<div class="note ok" role="status">${icon(frame, 's-ok', 'ok')}<p>${done}</p></div>`}
${consensusBody(frame, data)}`
}

/** A live cell: all of it is asked of the members at once. */
export function consensusBody(frame: Frame, { view, series }: Consensus): Html {
  return html`<div id="consensus" class="live col wide"><p>${sentence(view)}</p>${notes(frame, view)}
<section class="card" aria-label="Members"><table role="table" class="tbl cards stick" data-rows><caption class="vh">Members</caption><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Name</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col" class="w1">Role</th><th role="columnheader" scope="col" class="num w1">Behind</th><th role="columnheader" scope="col" class="num w2">To apply</th><th role="columnheader" scope="col" class="num w1">Last contact</th><th role="columnheader" scope="col" class="w0">Disk</th><th role="columnheader" scope="col" class="w1">Event loop</th><th role="columnheader" scope="col" class="num w2">Log</th><th role="columnheader" scope="col" class="w3">Version</th><th role="columnheader" scope="col"><span class="vh">Steer</span></th></tr></thead><tbody role="rowgroup">${view.members.map((member) => row(frame, member, series.get(member.id)))}</tbody></table></section>
<p class="small dim">Disk: a durable write of the log, 99 of 100 are quicker. Event loop: how long other work waits, likewise. The lines are the last ten minutes.</p>
${facts(view)}</div>`
}

function sentence(view: ClusterMembers): string {
  if (view.leader === null) return 'No leader answers: nothing can change, and what only a leader knows is missing.'
  const spare = view.voters - view.votersNeeded
  return `${view.leader} leads. ${view.votersNeeded} of ${view.voters} votes decide${spare === 0 ? ': no voter may be lost' : `: ${spare} may be lost`}.`
}

function notes(frame: Frame, view: ClusterMembers): Html {
  if (view.notes.length === 0) return html``
  return html`<div class="note warn">${icon(frame, 's-warn', 'warn')}<div class="grow">${view.notes.map((note) => html`<p>${note}</p>`)}</div></div>`
}

function wordOf(member: Member): StateWord {
  if (member.halted !== null) return { word: 'Halted', tone: 'bad', icon: 's-failed' }
  if (!member.reachable) return { word: 'Silent', tone: 'bad', icon: 's-offline' }
  if (member.progress === 'snapshot') return { word: 'Gets a snapshot', tone: 'warn', icon: 's-busy' }
  if (member.state === 'candidate' || member.state === 'preCandidate') return { word: 'Seeks votes', tone: 'warn', icon: 's-busy' }
  if (member.stale) return { word: 'Without a leader', tone: 'warn', icon: 's-warn' }
  return { word: member.role === 'leader' ? 'Leads' : 'Follows', tone: 'ok', icon: 's-ok' }
}

const votingWords = { auto: '', always: ', shall vote', never: ', shall not vote' } as const

function row(frame: Frame, member: Member, series: MemberSeries | undefined): Html {
  const number = (value: number | null) => (value === null ? unknown : count(value))
  const latency = (value: number | null, points: readonly (number | null)[] | undefined, what: string) =>
    html`<span class="meter">${points?.some((point) => point !== null) === true ? sparkLine(points) : html`<span></span>`}<span class="nowrap"><span class="vh">${what} </span>${milliseconds(value)}</span></span>`
  return html`<tr role="row" id="member-${member.id}"><th role="rowheader" scope="row" class="a-name"><a class="name" href="/nodes/${member.name}">${member.name}</a></th><td role="cell" class="a-sub">${state(frame, wordOf(member))}<span class="p-only dim"> · ${member.role}${votingWords[member.voting]}${member.matchLag === null ? '' : ` · ${count(member.matchLag)} behind`}${member.logSyncMs === null ? '' : ` · disk ${milliseconds(member.logSyncMs)}`}</span></td><td role="cell" class="w1"><span class="state">${icon(frame, roleIcons[member.role], member.role === 'leader' ? 'go' : '')}${member.role}${votingWords[member.voting]}</span></td><td role="cell" class="num w1">${number(member.matchLag)}</td><td role="cell" class="num w2">${number(member.applyLag)}</td><td role="cell" class="num nowrap w1">${milliseconds(member.lastContactMs)}</td><td role="cell" class="w0">${latency(member.logSyncMs, series?.append, 'Disk')}</td><td role="cell" class="w1">${latency(member.loopDelayMs, series?.loopDelay, 'Event loop')}</td><td role="cell" class="num nowrap w2">${member.logBytes === null ? unknown : html`${bytes(member.logBytes)} <span class="dim">${many(member.logEntries ?? 0, 'entry', 'entries')}</span>`}</td><td role="cell" class="w3">${member.version === '' ? unknown : member.version}</td><td role="cell" class="a-end"><a class="btn bare" href="/consensus/${member.name}" data-change data-command="Steer ${member.name} in consensus…"${frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`}>Steer<span class="vh"> ${member.name}</span></a></td></tr>`
}

function milliseconds(value: number | null): string {
  if (value === null) return unknown
  return value < 10_000 ? `${value < 10 ? value.toFixed(1) : String(Math.round(value))}\u00a0ms` : duration(value)
}

function facts(view: ClusterMembers): Html {
  const { timing } = view
  return html`<section class="card" aria-labelledby="cf-h"><header><h2 id="cf-h">Together</h2></header><div class="in"><dl class="kv"><dt>Leader</dt><dd>${view.leader ?? 'none'}</dd><dt>Term</dt><dd>${count(view.term)}</dd><dt>Committed</dt><dd>${count(view.commitIndex)}</dd>${timingFacts(timing)}</dl></div></section>`
}

function timingFacts(timing: Timing): Html {
  return html`<dt>Heartbeat</dt><dd>${duration(timing.heartbeatMs)}</dd><dt>Election time-out</dt><dd>${duration(timing.electionMs)} to ${duration(timing.electionMs * 2)}</dd><dt>A silent voter is replaced after</dt><dd>${duration(timing.lostMs)}</dd><dt>A learner is steady after</dt><dd>${duration(timing.steadyMs)}</dd>`
}

/** What an operator may do about a member: each form says what comes of it, so sending it is the confirmation. */
export function memberDialog(frame: Frame, member: Member, error: string | null): Html {
  const { name, voting } = member
  const act = (verb: string, text: string, words: string, more: Html = html``) =>
    html`<form method="post" action="/consensus/${name}/${verb}" class="col">${hiddenFields(frame)}<p>${words}</p>${more}<div>${changeButton(frame, { text, id: `member-${verb}`, refusal: verb === 'lead' ? leadRefusal(member) : null })}</div></form>`
  const force = (verb: string) => html`<label class="check"><input type="checkbox" name="force" value="yes" id="member-${verb}-force"><span>Also where the cluster becomes weaker<small>Fewer members could be lost afterwards, or the wish has to wait for a seat. Without this it is refused and says why.</small></span></label>`
  return html`<dialog id="member" aria-labelledby="member-h" data-open open><div class="hd"><h2 id="member-h">${name} in consensus</h2><a class="btn bare sq" href="/consensus" aria-label="Close">${icon(frame, 'x')}</a></div><div class="in">${
    error === null ? '' : html`<div class="note bad" role="alert">${icon(frame, 's-failed')}<p>${error}</p></div>`
  }${act('lead', `Let ${name} lead`, 'Writes wait for a moment while leadership is handed over.')}
${voting === 'always' ? '' : act('promote', 'Let it vote', 'It votes once it has caught up, in another\'s place where all seats are taken.', force('promote'))}
${voting === 'never' ? '' : act('demote', 'Let it not vote', 'Another takes its place first. It keeps a full copy.', force('demote'))}
${voting === 'auto' ? '' : act('auto-vote', 'Leave it to the cluster', 'Takes the wish back: the cluster decides again whether it votes.')}
${act('compact', 'Shorten its log', 'Its Raft log begins anew behind the state on its disk. A node that is away for long gets a snapshot then.')}</div><div class="ft"><a class="btn" href="/consensus">Close</a></div></dialog>`
}

function leadRefusal(member: Member): string | null {
  if (member.role === 'leader') return 'It leads already'
  return member.role === 'voter' ? null : 'It does not vote'
}
