// The configuration changer and the bytes of a change.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { changeConfiguration, enterJoint, leaveJoint, simpleChange } from '../../../src/raft/confchange.ts'
import { decodeConfChange, encodeConfChange } from '../../../src/raft/confchange-codec.ts'
import { RaftAssertion } from '../../../src/raft/assertion.ts'
import type { ConfChange, ConfChangeStep, Configuration } from '../../../src/raft/types.ts'
import { configurationOf } from './rig.ts'

/** `v` adds a voter, `l` a learner, `r` removes: "va lb rc". */
function stepsOf(text: string): ConfChangeStep[] {
  const kinds = { v: 'addVoter', l: 'addLearner', r: 'remove' } as const
  return text.split(' ').filter(Boolean).map((step) => ({ kind: kinds[step[0] as 'v' | 'l' | 'r'], id: step.slice(1) }))
}

/** "abc|ab l=d n=c auto": voters, outgoing, learners, learnersNext. */
function show(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  const parts = [voters.join('') + (votersOutgoing.length > 0 ? `|${votersOutgoing.join('')}` : '')]
  if (learners.length > 0) parts.push(`l=${learners.join('')}`)
  if (learnersNext.length > 0) parts.push(`n=${learnersNext.join('')}`)
  if (autoLeave) parts.push('auto')
  return parts.join(' ')
}

function parse(text: string): Configuration {
  const [halves = '', ...rest] = text.split(' ')
  const [voters = '', outgoing = ''] = halves.split('|')
  const named = (name: string): string[] => [...(rest.find((part) => part.startsWith(`${name}=`))?.slice(2) ?? '')]
  return configurationOf([...voters], {
    votersOutgoing: [...outgoing], learners: named('l'), learnersNext: named('n'), autoLeave: rest.includes('auto'),
  })
}

describe('statement 27: a simple change alters at most one voter; more needs joint; never zero voters', () => {
  test.each([
    ['a', 'vb', 'ab'],
    ['ab', 'rb', 'a'],
    ['a', 'lb', 'a l=b'],
    ['a l=b', 'vb', 'ab'],
    ['ab', 'lb', 'a l=b'],
    ['a', 'lb lc', 'a l=bc'],
    ['ab', 'vb', 'ab'],
    ['ab', 'rz', 'ab'],
    ['a', 'vb rb', 'a'],
    ['a', 'ra', 'invalid: the change removes all voters'],
    ['a', 'la', 'invalid: the change removes all voters'],
    ['a', 'vb vc', 'invalid: more than one voter changes without a joint configuration'],
    ['abc', 'ra vd', 'invalid: more than one voter changes without a joint configuration'],
    ['ab|a', 'vc', 'invalid: a simple change cannot be made while the configuration is joint'],
    ['', 'va', 'a'],
  ])('simple %s + %s = %s', (before, steps, after) => {
    const outcome = simpleChange(parse(before), stepsOf(steps))
    expect(outcome.kind === 'changed' ? show(outcome.configuration) : `invalid: ${outcome.reason}`).toBe(after)
  })

  test.each([
    ['a', 'vb vc', 'abc|a auto'],
    ['abc', 'ra vd', 'bcd|abc auto'],
    ['abc', 'la', 'bc|abc n=a auto'],
    ['abc', 'la ra', 'bc|abc auto'],
    ['abc', 'la va', 'abc|abc auto'],
    ['abc', 'ra la', 'bc|abc n=a auto'],
    ['abc l=d', 'vd rc', 'abd|abc auto'],
    ['abc', 'ra rb rc', 'invalid: the change removes all voters'],
    ['ab|a', 'vc', 'invalid: the configuration is joint already'],
    ['', 'va', 'invalid: a configuration without voters cannot become joint'],
  ])('joint %s + %s = %s', (before, steps, after) => {
    const outcome = enterJoint(parse(before), stepsOf(steps), true)
    expect(outcome.kind === 'changed' ? show(outcome.configuration) : `invalid: ${outcome.reason}`).toBe(after)
  })

  test.each([
    ['bcd|abc auto', 'bcd'],
    ['bc|abc n=a auto', 'bc l=a'],
    ['bc|abc l=d n=a', 'bc l=ad'],
    ['abc', 'invalid: the configuration is not joint, there is nothing to leave'],
  ])('leave %s = %s', (before, after) => {
    const outcome = leaveJoint(parse(before))
    expect(outcome.kind === 'changed' ? show(outcome.configuration) : `invalid: ${outcome.reason}`).toBe(after)
  })

  test.each([
    ['auto', 'vb', 'ab'],
    ['auto', 'vb vc', 'abc|a auto'],
    ['simple', 'vb', 'ab'],
    ['simple', 'lb lc', 'a l=bc'],
    ['implicit', 'vb', 'ab|a auto'],
    ['explicit', 'vb', 'ab|a'],
  ] as const)('%s %s on a = %s', (transition, steps, after) => {
    const outcome = changeConfiguration(parse('a'), { transition, steps: stepsOf(steps) })
    expect(outcome.kind === 'changed' ? show(outcome.configuration) : outcome.reason).toBe(after)
  })

  test('any sequence of changes keeps the halves apart and never loses the last voter', () => {
    const step = fc.record({ kind: fc.constantFrom('addVoter', 'addLearner', 'remove'), id: fc.constantFrom(...'abcde') })
    const change: fc.Arbitrary<ConfChange> = fc.record({
      transition: fc.constantFrom('auto', 'simple', 'implicit', 'explicit'),
      steps: fc.array(step, { maxLength: 3 }),
    })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
        let configuration = parse('abc')
        for (const next of changes) {
          const outcome = changeConfiguration(configuration, next)
          if (outcome.kind === 'invalid') continue
          const { voters, votersOutgoing, learners, learnersNext } = outcome.configuration
          expect(voters.length).toBeGreaterThan(0)
          expect(learners.filter((id) => voters.includes(id) || votersOutgoing.includes(id))).toEqual([])
          expect(learnersNext.filter((id) => !votersOutgoing.includes(id) || voters.includes(id))).toEqual([])
          if (votersOutgoing.length === 0 && configuration.votersOutgoing.length === 0) {
            const before = new Set(configuration.voters)
            expect(voters.filter((id) => !before.has(id)).length + configuration.voters.filter((id) => !voters.includes(id)).length).toBeLessThan(2)
          }
          configuration = outcome.configuration
        }
      }),
    )
  })
})

describe('encodeConfChange', () => {
  test('decodes to what was encoded, whatever the ids', () => {
    const step = fc.record({ kind: fc.constantFrom('addVoter', 'addLearner', 'remove'), id: fc.string({ minLength: 1, unit: 'binary' }) })
    const change = fc.record(
      {
        transition: fc.constantFrom('auto', 'simple', 'implicit', 'explicit'),
        steps: fc.array(step, { maxLength: 8 }),
        context: fc.uint8Array({ maxLength: 40 }),
      },
      { requiredKeys: ['transition', 'steps'] },
    )
    fc.assert(
      fc.property(change, (wanted) => {
        expect(decodeConfChange(encodeConfChange(wanted as ConfChange))).toEqual(wanted)
      }),
    )
  })

  test('damage is noticed or gives another valid change, never another error', () => {
    const bytes = encodeConfChange({ transition: 'explicit', steps: stepsOf('vone ltwö rdrei'), context: new Uint8Array([1, 2]) })
    for (let length = 1; length < bytes.length - 2; length += 1) expect(() => decodeConfChange(bytes.slice(0, length))).toThrow(RaftAssertion)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (noise) => {
        try {
          decodeConfChange(noise)
        } catch (error) {
          expect(error).toBeInstanceOf(RaftAssertion)
        }
      }),
    )
  })

  test('no bytes mean leaving', () => {
    expect(decodeConfChange(new Uint8Array(0))).toEqual({ transition: 'auto', steps: [] })
  })
})
