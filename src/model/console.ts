// Consoles of a VM: its serial line and its screen, opened by a ticket.
import { z } from 'zod'

export const consoleTypes = ['serial', 'screen'] as const
export type ConsoleType = (typeof consoleTypes)[number]

export const consoleRequestSchema = z.strictObject({
  type: z.enum(consoleTypes).default('serial').describe('serial: the bytes of its serial line; screen: RFB, as VNC viewers speak it'),
})

export const consoleTicketSchema = z.strictObject({
  type: z.enum(consoleTypes),
  ticket: z.string().describe('Opens one console once, at any node'),
  url: z.string().describe('Path of the WebSocket, ticket included; binary frames both ways'),
  expiresAt: z.string(),
})
export type ConsoleTicket = z.infer<typeof consoleTicketSchema>

/** Codes with which a console's WebSocket is closed, beside those of RFC 6455; the reason then says more. */
export const consoleCloseCodes = { ended: 1000, going: 1001, unsupported: 1003, revoked: 1008, failed: 1011, refused: 4009, idle: 4010, overlong: 4011 } as const
