// Consoles of VMs: tickets for them, and the way from whichever node was asked to the node that runs the VM.
//
//   browser ⇄ WebSocket ⇄ node that was asked ⇄ peer stream ⇄ owner ⇄ hypervisor
import { z } from 'zod'
import { consoleRequestSchema, consoleTypes, type ConsoleTicket, type ConsoleType } from '../model/console.ts'
import { OperationalError } from '../model/error.ts'
import type { Vm } from '../model/vm.ts'
import type { Clock } from '../ports/clock.ts'
import type { ByteStream, StreamHeader } from '../ports/transport.ts'
import { authorize, may } from './authorize.ts'
import { openTicket, Outstanding, sealTicket, ticketLifeMs, type TicketContent } from './console-ticket.ts'
import { isoTime, type AppContext } from './context.ts'
import type { Caller, Consoles, ConsoleSeat, WriteOptions } from './face.ts'
import type { IdentityUseCases } from './identity.ts'
import type { ClusterKeys } from './keys.ts'
import { parseInput } from './parse.ts'

/** Purposes of peer streams; the serial console's is the older one. */
const purposes: Readonly<Record<ConsoleType, string>> = { serial: 'console', screen: 'screen' }
const spendPurpose = 'console-ticket'
const spendTimeoutMs = 3_000
const leaveMsMax = 5_000
const vmParametersSchema = z.strictObject({ vmId: z.string() })
const spendParametersSchema = z.strictObject({ nonce: z.string() })
/** Where no QEMU is, nor will be soon. */
const offPhases: ReadonlySet<Vm['status']['phase']> = new Set(['stopped', 'suspended', 'failed', 'deleting'])

type Dependencies = { readonly keys: ClusterKeys; readonly identity: Pick<IdentityUseCases, 'refer' | 'recall'>; readonly vms: { get(caller: Caller, ref: string): Vm } }

export class ConsoleUseCases implements Consoles {
  readonly #context: AppContext
  readonly #dependencies: Dependencies
  readonly #outstanding: Outstanding

  constructor(context: AppContext, dependencies: Dependencies) {
    this.#context = context
    this.#dependencies = dependencies
    this.#outstanding = new Outstanding(context.ports.clock)
  }

  /** Serves peers: those that ask for consoles of this node's VMs (they have authorized their caller), and those where a ticket of ours is used. */
  serve(): void {
    const { streams } = this.#context.ports
    for (const type of consoleTypes) {
      streams.handle(purposes[type], async (_from, header: StreamHeader, stream) => {
        const { vmId } = vmParametersSchema.parse(header.parameters)
        const abort = new AbortController()
        const console = await this.#join(type, vmId, abort.signal)
        await joinStreams(stream, console, this.#context.ports.clock)
        abort.abort()
      })
    }
    streams.handle(spendPurpose, async (_from, header: StreamHeader) => this.#outstanding.spend(spendParametersSchema.parse(header.parameters).nonce))
  }

  /** Options of a write only for the audit's sake: nothing is proposed. */
  issue(caller: Caller, ref: string, body: unknown, _options: WriteOptions): ConsoleTicket {
    const vm = this.#dependencies.vms.get(caller, ref)
    authorize(caller, 'operate', vm.project, `the console of ${vm.name}`)
    const { type } = parseInput(consoleRequestSchema, body ?? {})
    this.#requireReachable(vm)
    const { vault, clock } = this.#context.ports
    const nonce = vault.secret()
    const content: TicketContent = { nonce, issuer: this.#context.nodeId, vmId: vm.id, type, holder: this.#dependencies.identity.refer(caller) }
    this.#outstanding.add(nonce)
    const ticket = sealTicket(vault, this.#dependencies.keys.sessionKey(), content)
    return { type, ticket, url: `/api/v1/vms/${vm.id}/console?type=${type}&ticket=${ticket}`, expiresAt: isoTime(clock.nowMs() + ticketLifeMs) }
  }

  async redeem(ticket: string, target: { readonly ref: string; readonly type: string }, address: string): Promise<ConsoleSeat> {
    const content = openTicket(this.#context.ports.vault, this.#dependencies.keys.sessionKey(), ticket)
    const caller = this.#dependencies.identity.recall(content.holder, address)
    if (caller === null) throw new OperationalError('TICKET_INVALID', 'The session or token that the console ticket was issued to is over.')
    const vm = this.#dependencies.vms.get(caller, target.ref)
    if (vm.id !== content.vmId || target.type !== content.type) throw new OperationalError('TICKET_INVALID', 'The console ticket is for another VM, or for another of its consoles.')
    authorize(caller, 'operate', vm.project, `the console of ${vm.name}`)
    await this.#spend(content)
    this.#context.ports.log.info('console opened', { vmId: vm.id, type: content.type, actor: caller.actor.name })
    return {
      holds: () => {
        const now = this.#dependencies.identity.recall(content.holder, address)
        const project = this.#context.state.tables.vm.get(vm.id)?.project
        return now !== null && project !== undefined && may(now, 'operate', project)
      },
      open: (signal) => this.#open(content.type, vm.id, signal),
    }
  }

  /** @throws STATE_CONFLICT, PEER_UNREACHABLE */
  #requireReachable(vm: Vm): void {
    const { phase, nodeId } = vm.status
    if (nodeId === null) throw new OperationalError('STATE_CONFLICT', `${vm.name} is on no node.`)
    if (offPhases.has(phase)) throw new OperationalError('STATE_CONFLICT', `${vm.name} is ${phase}: start it to see its console.`)
    this.#requireReady(nodeId)
  }

  #requireReady(nodeId: string): void {
    if (nodeId === this.#context.nodeId) return
    const unready = this.#context.unreadiness(nodeId)
    if (unready !== '') throw new OperationalError('PEER_UNREACHABLE', `Node ${this.#context.nodeName(nodeId) ?? nodeId}, where the VM is, ${unready}.`)
  }

  /** At whichever node it was issued. */
  async #spend(content: TicketContent): Promise<void> {
    if (content.issuer === this.#context.nodeId) return this.#outstanding.spend(content.nonce)
    const { streams, clock } = this.#context.ports
    const abort = new AbortController()
    const cancel = clock.after(spendTimeoutMs, () => abort.abort(new OperationalError('PEER_UNREACHABLE', 'The node that issued the console ticket does not answer; ask this one for another.')))
    try {
      const stream = await streams.open(content.issuer, { purpose: spendPurpose, parameters: { nonce: content.nonce } }, abort.signal)
      stream.abort()
    } finally {
      cancel()
    }
  }

  /** @throws CONSOLE_BUSY, SCREEN_MISSING, PEER_UNREACHABLE, STATE_CONFLICT */
  async #open(type: ConsoleType, vmId: string, signal: AbortSignal): Promise<ByteStream> {
    const nodeId = this.#context.state.tables.vm.get(vmId)?.assignment?.nodeId
    if (nodeId === undefined) throw new OperationalError('STATE_CONFLICT', 'The VM is on no node.')
    if (nodeId === this.#context.nodeId) return this.#join(type, vmId, signal)
    this.#requireReady(nodeId)
    return this.#context.ports.streams.open(nodeId, { purpose: purposes[type], parameters: { vmId } }, signal)
  }

  #join(type: ConsoleType, vmId: string, signal: AbortSignal): Promise<ByteStream> {
    return type === 'serial' ? this.#context.consoles.join(vmId, signal) : this.#context.screens.join(vmId, signal)
  }
}

/**
 * Pipes both ways until either side ends or fails; then both are closed. Where the console ends in good order the peer reads so, and has a while
 * to take its leave.
 */
async function joinStreams(peer: ByteStream, console: ByteStream, clock: Clock): Promise<void> {
  const typed = pipe(peer, console)
  try {
    await Promise.race([typed, pipe(console, peer)])
    await peer.end()
    const cancel = clock.after(leaveMsMax, () => peer.abort())
    await typed.catch(() => undefined)
    cancel()
  } finally {
    peer.abort()
    console.abort()
  }
}

async function pipe(from: ByteStream, to: ByteStream): Promise<void> {
  for await (const chunk of from.readable) await to.write(chunk)
}
