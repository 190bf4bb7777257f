// Turns come in order, and between two of them all that needs no time has happened.
import { expect, it } from 'vitest'
import { Turns } from './turns.ts'

/** More than one round of the loop. */
const turnsEnough = 600

it('one after the other, each after every promise and tick of the one before, over many rounds', async () => {
  const turns = new Turns()
  const said: string[] = []
  for (let turn = 0; turn < turnsEnough; turn += 1) {
    process.nextTick(() => said.push(`tick ${turn}`))
    void Promise.resolve().then(() => Promise.resolve()).then(() => said.push(`promise ${turn}`))
    if (turn % 100 === 0) turns.soon(() => said.push(`soon ${turn}`))
    await turns.next()
    const expected = [...(turn % 100 === 0 ? [`soon ${turn}`] : []), `tick ${turn}`, `promise ${turn}`]
    expect(said.splice(0).toSorted()).toEqual(expected.toSorted())
  }
})
