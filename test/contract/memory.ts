// Small stand-ins of ports that are not under test here: a local store in memory and a log that says nothing.
import type { Log } from '../../src/ports/log.ts'
import type { LocalStore } from '../../src/ports/state-store.ts'

export function memoryLocalStore(): LocalStore {
  const values = new Map<string, unknown>()
  return {
    get: async (key) => values.get(key),
    put: async (key, value) => void values.set(key, structuredClone(value)),
    delete: async (key) => void values.delete(key),
    list: async (prefix) => [...values].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value })),
  }
}

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silentLog }
