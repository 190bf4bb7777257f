// The one error the core throws: an invariant of Raft is broken, and going on would be worse than stopping.

/** A broken invariant: a bug, damaged restored state, or a peer that does not speak Raft. The process must stop. */
export class RaftAssertion extends Error {
  override readonly name = 'RaftAssertion'
}

/** Throws `RaftAssertion`. Where entries pass by the thousand: `assertRaft` would put its message together even though all is well. */
export function breakRaft(message: string): never {
  throw new RaftAssertion(message)
}

/** Throws `RaftAssertion` with `message` unless `condition` holds; never compiled out. */
export function assertRaft(condition: boolean, message: string): asserts condition {
  if (!condition) throw new RaftAssertion(message)
}
