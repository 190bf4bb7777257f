// What becomes of a proposal, in every order in which its news can come.
import { describe, expect, it } from 'vitest'
import { Fates, PendingProposal, type Fate } from '../../../src/cluster/fates.ts'
import type { CommandResult } from '../../../src/model/command.ts'

const result: CommandResult = { kind: 'done', index: 7, id: 'x' }

function pending(fates: Fates): { readonly proposal: PendingProposal; readonly heard: Fate[]; readonly cancel: () => void } {
  const heard: Fate[] = []
  const proposal = new PendingProposal({ commandId: 'mine', leaderTerm: 3 }, (fate) => {
    heard.push(fate)
    cancel()
  })
  const cancel = fates.add(proposal)
  return { proposal, heard, cancel }
}
const applyOther = (fates: Fates, index: number): void => fates.applied({ index, commandId: 'other', result })
const applyMine = (fates: Fates, index: number): void => fates.applied({ index, commandId: 'mine', result })

describe('fates', () => {
  it('is applied when its command is, also before its place is known', () => {
    const fates = new Fates()
    const { heard } = pending(fates)
    applyOther(fates, 6)
    applyMine(fates, 7)
    expect(heard).toEqual([{ kind: 'applied', result }])
    expect(fates.size).toBe(0)
  })

  it('is lost when another command, a no-op or a change of configuration was applied in its place', () => {
    for (const commandId of ['other', null]) {
      const fates = new Fates()
      const { proposal, heard } = pending(fates)
      fates.placed(proposal, { index: 7, term: 3 }, 5)
      applyOther(fates, 6)
      expect(heard).toEqual([])
      fates.applied({ index: 7, commandId, result: commandId === null ? null : result })
      expect(heard).toEqual([{ kind: 'lost' }])
      expect(fates.size).toBe(0)
    }
  })

  it('is lost when its place had been applied before it was known, and no snapshot hid it', () => {
    const fates = new Fates()
    const { proposal, heard } = pending(fates)
    applyOther(fates, 7)
    fates.placed(proposal, { index: 7, term: 3 }, 7)
    expect(heard).toEqual([{ kind: 'lost' }])
  })

  it('is unknown when a snapshot covers its place', () => {
    const fates = new Fates()
    const known = pending(fates)
    fates.placed(known.proposal, { index: 7, term: 3 }, 5)
    const hidden = pending(fates)
    fates.replaced(9)
    expect(known.heard).toEqual([{ kind: 'unknown' }])
    fates.placed(hidden.proposal, { index: 8, term: 3 }, 9)
    expect(hidden.heard).toEqual([{ kind: 'unknown' }])
  })

  it('waits on when a snapshot ends before its place', () => {
    const fates = new Fates()
    const { proposal, heard } = pending(fates)
    fates.placed(proposal, { index: 12, term: 3 }, 5)
    fates.replaced(9)
    expect(heard).toEqual([])
    applyMine(fates, 12)
    expect(heard).toEqual([{ kind: 'applied', result }])
  })

  it('leaves nothing behind when cancelled, and answers two waiters of one command', () => {
    const fates = new Fates()
    const first = pending(fates)
    const second = pending(fates)
    const third = pending(fates)
    fates.placed(third.proposal, { index: 4, term: 3 }, 1)
    third.cancel()
    third.cancel()
    expect(fates.size).toBe(2)
    applyMine(fates, 4)
    expect([first.heard.length, second.heard.length, third.heard.length]).toEqual([1, 1, 0])
    expect(fates.all()).toEqual([])
  })
})
