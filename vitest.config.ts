// Test projects: fast unit tests, contract suites against real components, and the tidy checks.
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/** The contract suites mostly wait for libvirt, QEMU and time-outs: on two cores, where vitest would take one worker, three take 45 % of the time. */
const workersMin = 3

export default defineConfig({
  test: {
    maxWorkers: Math.max(workersMin, availableParallelism() - 1),
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { name: 'tidy', include: ['test/tidy.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 1_200_000 } },
    ],
    coverage: { provider: 'v8', include: ['src/**/*.ts', 'ui/views/**/*.ts'], reporter: ['json-summary', 'text-summary'] },
  },
})
