// Tickets for consoles: sealed by the cluster's session key, so that every node can read them and nobody else; each is spent once, at the
// node that issued it.
//
//   caller ── POST …/console ──► issuer: remembers the nonce for 30 s          (in memory only: a restart voids what is out)
//   browser ── WebSocket, ticket ──► any node: opens the seal, asks the issuer to spend the nonce
//
// The issuer alone judges age and reuse: no clocks are compared, nothing passes Raft, and two nodes can never both accept one.
import { z } from 'zod'
import { consoleTypes } from '../model/console.ts'
import { OperationalError } from '../model/error.ts'
import type { Clock } from '../ports/clock.ts'
import type { Vault } from '../ports/vault.ts'

export const ticketLifeMs = 30_000
/** Tickets that are out at a time; the oldest is void where there are more. */
const outstandingMax = 4096
const ticketCharactersMax = 2048
const purpose = 'novacron/console-ticket'

const contentSchema = z.strictObject({
  nonce: z.string().min(1).max(64),
  issuer: z.string(),
  vmId: z.string(),
  type: z.enum(consoleTypes),
  /** Whose it is; looked up anew wherever it is used, and for as long as the console is open. */
  holder: z.strictObject({
    userId: z.string(),
    actor: z.strictObject({ kind: z.enum(['user', 'token']), id: z.string() }),
    session: z.strictObject({ id: z.string(), expiresMs: z.number() }).nullable(),
    issuedMs: z.number(),
  }),
})
export type TicketContent = z.infer<typeof contentSchema>
export type TicketHolder = TicketContent['holder']

export function sealTicket(vault: Vault, key: Uint8Array, content: TicketContent): string {
  return vault.seal(key, new TextEncoder().encode(JSON.stringify(content)), purpose)
}

/** @throws TICKET_INVALID where it was not sealed by this cluster for this purpose */
export function openTicket(vault: Vault, key: Uint8Array, ticket: string): TicketContent {
  if (ticket === '' || ticket.length > ticketCharactersMax) throw noTicket()
  try {
    return contentSchema.parse(JSON.parse(new TextDecoder().decode(vault.open(key, ticket, purpose))))
  } catch {
    throw noTicket()
  }
}

function noTicket(): OperationalError {
  return new OperationalError('TICKET_INVALID', 'This is no console ticket of this cluster: POST to the console\'s path for one.')
}

/** What this node has issued and nobody has used yet. */
export class Outstanding {
  readonly #clock: Clock
  /** By nonce, the oldest first; until when, monotonic. */
  readonly #untilMs = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(nonce: string): void {
    for (const [old, untilMs] of this.#untilMs) {
      if (untilMs > this.#clock.monotonicMs() && this.#untilMs.size < outstandingMax) break
      this.#untilMs.delete(old)
    }
    this.#untilMs.set(nonce, this.#clock.monotonicMs() + ticketLifeMs)
  }

  /** @throws TICKET_INVALID where it is over, was spent, or is not known here (any more) */
  spend(nonce: string): void {
    const untilMs = this.#untilMs.get(nonce)
    this.#untilMs.delete(nonce)
    if (untilMs === undefined || untilMs <= this.#clock.monotonicMs()) throw new OperationalError('TICKET_INVALID', 'The console ticket was used already, or its 30 s are over.')
  }
}
