// Test projects: fast unit tests, contract suites against real components, and the tidy checks.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { name: 'tidy', include: ['test/tidy.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 1_200_000 } },
    ],
    coverage: { provider: 'v8', include: ['src/**/*.ts', 'ui/views/**/*.ts'], reporter: ['json-summary', 'text-summary'] },
  },
})
