// What ailed a node's part in consensus comes into the events as soon as a leader can be reached, in order.
import { expect, test } from 'vitest'
import { NodeTroubleController } from '../../../src/controllers/node-trouble.ts'
import type { Command } from '../../../src/model/command.ts'
import { OperationalError } from '../../../src/model/error.ts'
import type { Consensus, ConsensusNotice, ConsensusTrouble } from '../../../src/ports/consensus.ts'
import { applyCommand } from '../../../src/state/apply.ts'
import type { StateHolder } from '../../../src/state/state.ts'
import { EventQueue } from '../../sim/event-queue.ts'
import { SimClock } from '../../sim/sim-clock.ts'
import { recordingLog } from '../http/harness.ts'
import { announcement, World } from '../state/world.ts'

function desk() {
  const world = new World()
  const { nodeId } = world.form()
  const queue = new EventQueue()
  const clock = new SimClock(queue)
  const { state } = world
  const live: { troubles: ConsensusTrouble[]; inReach: boolean } = { troubles: [], inReach: true }
  const listeners = new Set<(notice: ConsensusNotice) => void>()
  const consensus = {
    state, status: () => ({ troubles: live.troubles }),
    watch: (listener: (notice: ConsensusNotice) => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    propose: (command: Command) => {
      if (!live.inReach) return Promise.reject(new OperationalError('NO_QUORUM', 'no'))
      return Promise.resolve(applyCommand(state, { index: state.index + 1, term: 1, timeMs: state.timeMs, command }).result)
    },
  } as unknown as Consensus & StateHolder
  const random = { integer: () => 0, bytes: (length: number) => new Uint8Array(length) }
  const controller = new NodeTroubleController({ nodeId }, { clock, random, log: recordingLog([]), consensus })
  const turn = (troubles: ConsensusTrouble[]) => {
    live.troubles = troubles
    for (const listener of listeners) listener({ kind: 'status' })
  }
  const pass = async (durationMs: number) => {
    const untilMs = queue.nowMs + durationMs
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const action = queue.next(untilMs)
      if (action === null) return
      action()
    }
  }
  const events = () => [...state.tables.event.values()].filter(({ reason }) => reason === 'node.trouble' || reason === 'node.recovered').map(({ reason, message }) => `${reason}: ${message}`)
  const announce = (featureLevel: number) => world.run('node.announce', { id: nodeId, announcement: announcement({ featureLevel }) })
  return { controller, announce, live, turn, pass, events, listeners }
}

const full: ConsensusTrouble = { type: 'DiskFull', message: 'There is no space.', sinceMs: 0 }
const damaged: ConsensusTrouble = { type: 'LogDamaged', message: 'The Raft log is damaged (gone).', sinceMs: 0 }
const resyncing: ConsensusTrouble = { type: 'Resyncing', message: 'It waits for a snapshot.', sinceMs: 0 }

test('begun and over, each once', async () => {
  const { controller, turn, pass, events, listeners } = desk()
  controller.start()
  turn([full])
  turn([full])
  await pass(3000)
  expect(events()).toEqual(['node.trouble: Node n1: There is no space.'])
  turn([])
  await pass(3000)
  expect(events().slice(1)).toEqual(['node.recovered: Node n1 is well again: there is space for its log'])
  controller.stop()
  expect(listeners.size).toBe(0)
})

test('42: what was so before there was a leader is told afterwards, in order', async () => {
  const { controller, live, turn, pass, events } = desk()
  live.inReach = false
  live.troubles = [damaged]
  controller.start()
  await pass(5000)
  turn([resyncing])
  await pass(5000)
  turn([])
  expect(events()).toEqual([])
  live.inReach = true
  await pass(2000)
  expect(events().map((text) => text.split(': ', 3).slice(0, 3).join(': '))).toEqual([
    'node.trouble: Node n1: The Raft log is damaged (gone).',
    'node.recovered: Node n1 is well again: its damaged log was put aside, and it re-syncs from the others',
    'node.trouble: Node n1: It waits for a snapshot.',
    'node.recovered: Node n1 is well again: it has caught up with the others after damage to its log',
  ])
})

test('waits while a member would not know the word', async () => {
  const { controller, announce, turn, pass, events } = desk()
  announce(1)
  controller.start()
  turn([full])
  await pass(3000)
  expect(events()).toEqual([])
  announce(2)
  await pass(2000)
  expect(events()).toEqual(['node.trouble: Node n1: There is no space.'])
})

test('a disk that is slow all the time does not feed itself by what is told of it', async () => {
  const { controller, live, turn, pass, events } = desk()
  controller.start()
  const hung: ConsensusTrouble = { type: 'DiskHung', message: 'It hangs.', sinceMs: 0 }
  // Whatever is written makes it hang, for a second.
  let seen = 0
  for (let second = 0; second < 3600; second++) {
    turn(second === 0 || events().length > seen || second % 3 === 0 ? [hung] : [])
    seen = events().length
    await pass(1000)
  }
  expect(events().length).toBeLessThan(60)
  expect(events().some((message) => /It hangs; it comes and goes, and is told again after \d+ s at the earliest$/.test(message))).toBe(true)
  live.troubles = []
  await pass(2000)
  expect(events().at(-1)).toMatch(/^node\.recovered/)
  turn([hung])
  await pass(1_200_000)
  expect(events().at(-1)).toMatch(/^node\.trouble/)
  controller.stop()
})
