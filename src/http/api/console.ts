// Routes of consoles: a ticket for one, and the WebSocket that the ticket opens.
import { z } from 'zod'
import { consoleTypes } from '../../model/console.ts'
import { OperationalError } from '../../model/error.ts'
import type { CallerRoute } from '../route.ts'
import { schemas } from './schemas.ts'

const path = '/api/v1/vms/{ref}/console'

export const consoleRoutes: readonly CallerRoute[] = [
  {
    method: 'POST', path, operationId: 'createConsoleTicket', tag: 'VMs', credential: 'caller', right: 'operate project',
    summary: 'Get a ticket for the serial console or the screen: for 30 s and one connection, at any node',
    body: { required: false, types: ['application/json'], schema: schemas.consoleRequest },
    answers: { 200: { description: 'The ticket, and the path to open as a WebSocket', schema: schemas.consoleTicket } },
    errors: ['NOT_FOUND', 'INVALID', 'STATE_CONFLICT', 'PEER_UNREACHABLE'],
    handle: (caller, { app, params, body, write }) => ({ status: 200, body: app.consoles.issue(caller, params['ref']!, body, write) }),
  },
  {
    method: 'GET', path, operationId: 'openConsole', tag: 'VMs', credential: 'caller', right: 'operate project',
    summary: 'Serial console or screen (RFB) as a WebSocket: the ticket is the credential; binary frames both ways; also of a VM on another node',
    query: {
      ticket: { from: 'text', schema: z.string().max(2048) },
      type: { from: 'text', schema: z.enum(consoleTypes).default('serial') },
    },
    answers: { 101: { description: 'The WebSocket. It closes with 4009 and a reason "CODE: sentence" where the guest cannot be reached, with 1008 where the right was withdrawn' } },
    errors: ['TICKET_INVALID', 'NOT_FOUND', 'PEER_UNREACHABLE', 'OVERLOADED', 'MALFORMED'],
    // A WebSocket's request never comes here: see http/console.ts.
    handle: () => {
      throw new OperationalError('MALFORMED', 'The console is a WebSocket; this request asks for no upgrade to one.')
    },
  },
]
