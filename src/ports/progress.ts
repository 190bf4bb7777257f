// How far running operations are: said by the node that runs a step, heard by all; for eyes only.
import type { Progress } from '../model/migration.ts'

export interface ProgressBoard {
  /** Often is fine: it is passed on at most twice a second. */
  report(operationId: string, progress: Omit<Progress, 'bytesPerSecond'>): void
  /** Null where nothing was heard lately. */
  of(operationId: string): Progress | null
}
