// Commands for tests: the smallest that changes the state.
import type { Command } from '../../../src/model/command.ts'
import { uuidV7 } from '../../../src/model/id.ts'

let commands = 0

/** A command that remembers a session's id; each has an id of its own. */
export function revokeSession(session: string): Command {
  commands += 1
  const random = new Uint8Array(10)
  new DataView(random.buffer).setUint32(4, commands)
  return {
    id: uuidV7(1_767_225_600_000, random) as Command['id'],
    actor: { kind: 'system', id: 'test', name: 'test', address: '' },
    type: 'session.revoke',
    payload: { id: session, expiresMs: 1_900_000_000_000 },
  }
}
