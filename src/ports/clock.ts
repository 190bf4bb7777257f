// Time and chance, injected so that the simulator owns both.

export type Cancel = () => void

export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump. */
  nowMs(): number
  /** Monotonic clock in milliseconds; unrelated to the wall clock. */
  monotonicMs(): number
  /** Calls once after the delay; the returned function cancels. */
  after(delayMs: number, action: () => void): Cancel
  /** Calls again and again; no burst to catch up after a stall. */
  every(periodMs: number, action: () => void): Cancel
}

export interface Random {
  /** An integer in [0, boundExclusive). */
  integer(boundExclusive: number): number
  bytes(length: number): Uint8Array
}
