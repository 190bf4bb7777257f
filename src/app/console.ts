// The serial console of a VM, from whichever node was asked to the node that runs it.
import { z } from 'zod'
import { OperationalError } from '../model/error.ts'
import type { StoredVm } from '../model/vm.ts'
import type { ByteStream, StreamHeader } from '../ports/transport.ts'
import type { AppContext } from './context.ts'

export const consolePurpose = 'console'
const parametersSchema = z.strictObject({ vmId: z.string() })

/** @throws CONSOLE_BUSY, PEER_UNREACHABLE, STATE_CONFLICT */
export async function openConsole(context: AppContext, vm: StoredVm, signal: AbortSignal): Promise<ByteStream> {
  const nodeId = vm.assignment?.nodeId
  if (nodeId === undefined) throw new OperationalError('STATE_CONFLICT', `${vm.name} is on no node.`)
  if (nodeId === context.nodeId) return context.consoles.join(vm.id, signal)
  const unready = context.unreadiness(nodeId)
  if (unready !== '') throw new OperationalError('PEER_UNREACHABLE', `Node ${context.nodeName(nodeId) ?? nodeId}, where ${vm.name} is, ${unready}.`)
  return context.ports.streams.open(nodeId, { purpose: consolePurpose, parameters: { vmId: vm.id } }, signal)
}

/** Serves peers that ask for consoles of this node's VMs. They have authorized their caller. */
export function serveConsoles(context: AppContext): void {
  context.ports.streams.handle(consolePurpose, async (_from, header: StreamHeader, stream) => {
    const { vmId } = parametersSchema.parse(header.parameters)
    const abort = new AbortController()
    const console = await context.consoles.join(vmId, abort.signal)
    await joinStreams(stream, console)
    abort.abort()
  })
}

/** Pipes both ways until either side ends or fails; then both are closed. */
export async function joinStreams(left: ByteStream, right: ByteStream): Promise<void> {
  try {
    await Promise.race([pipe(left, right), pipe(right, left)])
  } finally {
    left.abort()
    right.abort()
  }
}

async function pipe(from: ByteStream, to: ByteStream): Promise<void> {
  for await (const chunk of from.readable) await to.write(chunk)
}
