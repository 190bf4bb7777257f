// Optimistic concurrency: an update that was made of an older revision is refused.
import { Refusal } from './transaction.ts'

/** @throws Refusal PRECONDITION_FAILED for a stale If-Match, REVISION_STALE for a stale revision in the body */
export function requireCurrent(
  resource: { readonly name: string; readonly revision: number },
  guard: { readonly ifMatch?: number | undefined; readonly revision?: number | undefined },
): void {
  if (guard.ifMatch !== undefined && guard.ifMatch !== resource.revision) {
    throw new Refusal('PRECONDITION_FAILED', `${resource.name} is at revision ${resource.revision}, not ${guard.ifMatch}. Read it again.`)
  }
  if (guard.revision !== undefined && guard.revision !== resource.revision) {
    throw new Refusal('REVISION_STALE', `${resource.name} was changed in between: it is at revision ${resource.revision}, not ${guard.revision}. Read it again.`)
  }
}
