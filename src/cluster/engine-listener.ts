// What the engine tells the cluster of: what was applied, read, replaced, and that it stopped.
import type { Checkpoint } from '../model/checkpoint.ts'
import type { Command, CommandResult } from '../model/command.ts'
import type { Event } from '../model/event.ts'
import type { LogIndex, ReadState, Term } from '../raft/types.ts'
import type { HaltKind } from './status.ts'

type AppliedEntry = {
  readonly index: LogIndex
  readonly term: Term
  readonly timeMs: number
  readonly command: Command | null
  readonly result: CommandResult | null
  readonly events: readonly Event[]
}

/** Called synchronously, in order. */
export type EngineListener = {
  applied(entry: AppliedEntry): void
  replaced(index: LogIndex): void
  read(state: ReadState): void
  /** A tick passed or a Ready was handled: anything in the status may have changed. */
  turned(): void
  halted(kind: HaltKind, reason: string, cause: unknown): void
  /** Applied as the entry of that index. */
  checkpoint(index: LogIndex, checkpoint: Checkpoint): void
}
