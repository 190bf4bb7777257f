// A write that is refused for what this node's copy of the state holds, or does not hold: the copy may be behind, so it is asked once more at a linearizable point.
import { OperationalError, type ErrorCode } from '../model/error.ts'
import type { AppContext } from './context.ts'

/** What a use case finds out itself, by looking at the copy; what comes with the command is confirmed on its way (`write.ts`). */
const mayBeBehind: ReadonlySet<ErrorCode> = new Set(['NOT_FOUND', 'NAME_TAKEN', 'STATE_CONFLICT', 'OPERATION_ACTIVE', 'IN_USE', 'REFERENCE_MISSING', 'NO_FIT'])

/**
 * Runs a write that can be run again where it was refused. A node that was cut off would otherwise say "there is none" of what was made elsewhere meanwhile,
 * and a client could not tell that from the truth. What answers at once proposes nothing, and is not asked again.
 * What was found by its name and is gone when the command is applied may have been made anew under that name: then this node has applied the refusal and knows.
 * @returns what the write returns; a promise of it rejects with NO_QUORUM where the refusal cannot be confirmed
 */
export function confirmed(context: AppContext, write: () => unknown): unknown {
  const { index } = context.state
  const first = write()
  if (!(first instanceof Promise)) return first
  return first.catch(async (error: unknown) => {
    if (error instanceof OperationalError && error.code === 'NOT_FOUND' && error.data['inLog'] === true) return await write()
    if (!(error instanceof OperationalError) || !mayBeBehind.has(error.code) || error.data['confirmed'] === true) throw error
    await context.ports.consensus.readBarrier()
    if (context.state.index === index) throw error
    return await write()
  })
}

/** What is done once a command is on record: a refusal of it stands, for run again the command would be recorded twice. */
export async function afterRecord<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    throw new OperationalError(error.code, error.message, { data: { ...error.data, confirmed: true }, cause: error })
  }
}
