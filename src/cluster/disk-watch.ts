// Tells a disk that is full, or hangs without an error, from one that works: by the age of the write under way.
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'

/** Without space a write is tried again this often. */
export const fullRetryMs = 500

/** `hung`: a write has been under way for an election time-out or longer. */
export type DiskState = 'good' | 'full' | 'hung'

/*
 *   good --write older than the limit--> hung --it ends--> good
 *   good --no space--> full --a write gets through--> good
 */
export class DiskWatch {
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #onChange: (state: DiskState) => void
  #beganMs: number | null = null
  #isFull = false
  #isFullForOther = false
  #state: DiskState = 'good'
  #sinceMs = 0

  /** `limitMs`: how long a write may take before the disk counts as hung. */
  constructor(options: { readonly limitMs: number; readonly onChange: (state: DiskState) => void }, clock: Clock) {
    this.#limitMs = options.limitMs
    this.#onChange = options.onChange
    this.#clock = clock
  }

  /** As of the last `look`. */
  get state(): DiskState {
    return this.#state
  }
  /** Wall clock of when it came to be in this state; 0 where it always was. */
  get sinceMs(): number {
    return this.#sinceMs
  }
  /** How long the write under way has taken so far; 0 where there is none. */
  get waitingMs(): number {
    return this.#beganMs === null ? 0 : this.#clock.monotonicMs() - this.#beganMs
  }

  /** Writes; for want of space it tries again until there is some, or `goesOn` no longer holds. Resolves to whether it was written. */
  async persist(write: () => Promise<void>, goesOn: () => boolean): Promise<boolean> {
    while (goesOn()) {
      this.#beganMs = this.#clock.monotonicMs()
      try {
        await write()
        this.#ended(false)
        return true
      } catch (error) {
        this.#beganMs = null
        if (!isFull(error)) throw error
        this.#ended(true)
      }
      await new Promise<void>((resolve) => this.#clock.after(fullRetryMs, resolve))
    }
    return false
  }

  /** Somebody else, who tries again as long as it takes, found no space on the same disk, or found some at last. */
  noteOther(isFull: boolean): void {
    this.#isFullForOther = isFull
    this.look()
  }

  /** Looks how long the write under way has taken. */
  look(): void {
    const next: DiskState = this.#isFull || this.#isFullForOther ? 'full' : this.waitingMs >= this.#limitMs ? 'hung' : 'good'
    if (next === this.#state) return
    this.#state = next
    this.#sinceMs = this.#clock.nowMs()
    this.#onChange(next)
  }

  #ended(isFull: boolean): void {
    this.#beganMs = null
    this.#isFull = isFull
    this.look()
  }
}

/** Nothing was written, and it may be tried again. */
export function isFull(error: unknown): boolean {
  return error instanceof OperationalError && error.code === 'STORAGE_FULL'
}
