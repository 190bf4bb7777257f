// What lists show where a figure alone would mislead.
import { expect, test } from 'vitest'
import { nouns, renderItems } from '../../../src/cli/nouns.ts'

test.each([
  [[], 'true', 0, 'true '],
  [[{ type: 'Draining', status: 'true' }], 'false', 3, 'false, draining '],
  [[{ type: 'Drained', status: 'true' }], 'false', 0, 'false, drained '],
  [[{ type: 'Drained', status: 'false' }], 'false', 1, 'false, drained but for 1 VM '],
])('a node and its drain: %j', (conditions, schedulable, vms, shown) => {
  const node = { name: 'n1', spec: { schedulable: schedulable === 'true' }, status: { role: 'voter', ready: true, conditions, allocated: { vms, vmsRunning: 0 }, capacity: {} } }
  expect(renderItems(nouns.node, [node], { wide: false, colours: false })).toContain(shown)
})
