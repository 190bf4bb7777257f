// What goes on record: what the leader sees, less what has to wait because it comes and goes, or cannot be told yet.
import { expect, test } from 'vitest'
import type { StoredObservation } from '../../../src/model/observation.ts'
import { planObservation, type ObservationView } from '../../../src/planner/observation.ts'

const known: StoredObservation = { leaderId: 'a', term: 3, voters: ['a', 'b', 'c'], silent: [], told: {} }
const view: ObservationView = { known, toldAgoMs: {}, leaderId: 'a', term: 3, voters: ['c', 'b', 'a'], members: ['a', 'b', 'c', 'd'].map((id) => ({ id, isSilent: false })) }
const silent = (id: string) => view.members.map((member) => (member.id === id ? { id, isSilent: true } : member))

test('nothing where nothing changed; everything at first', () => {
  expect(planObservation(view)).toBe(null)
  expect(planObservation({ ...view, known: undefined, members: silent('b') })).toEqual({ leaderId: 'a', term: 3, voters: ['a', 'b', 'c'], silent: ['b'] })
})

test('a new leader, other voters, who is silent', () => {
  expect(planObservation({ ...view, leaderId: 'b', term: 5, voters: ['a', 'b', 'd'], members: silent('c') })).toEqual({ leaderId: 'b', term: 5, voters: ['a', 'b', 'd'], silent: ['c'] })
})

test('what was told just now waits, the rest does not', () => {
  const waiting = { ...known, told: { leader: { atMs: 99_000, times: 1 }, c: { atMs: 99_000, times: 1 } } }
  const next = { ...view, known: waiting, toldAgoMs: { leader: 1_000, c: 1_000 }, leaderId: 'b', term: 5, members: silent('c') }
  expect(planObservation(next)).toBe(null)
  expect(planObservation({ ...next, voters: ['a', 'b'] })).toEqual({ leaderId: 'a', term: 3, voters: ['a', 'b'], silent: [] })
  expect(planObservation({ ...next, toldAgoMs: { leader: 5_000, c: 5_000 } })).toEqual({ leaderId: 'b', term: 5, voters: ['a', 'b', 'c'], silent: ['c'] })
})

test('of whom a new leader knows nothing yet stays as it was; who is no member is forgotten', () => {
  const later = { ...known, silent: ['b', 'x'] }
  const members = view.members.map(({ id }) => ({ id, isSilent: id === 'b' ? null : false }))
  expect(planObservation({ ...view, known: later, members })).toMatchObject({ silent: ['b'] })
})
