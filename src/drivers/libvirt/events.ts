// libvirt's domain events: which ones we register for and what they say, in words.
import { readDomain } from './calls.ts'
import type { XdrReader } from './xdr.ts'

/** Event ids to register for: lifecycle, reboot, I/O error with reason, agent lifecycle. */
export const eventKinds = [0, 1, 6, 18] as const

const procedures = { lifecycle: 318, reboot: 319, ioErrorReason: 324, agentLifecycle: 348 } as const

export type LibvirtEvent = { readonly id: string; readonly event: string; readonly detail: string }

/** Null for events we did not ask for. */
export function readEvent(procedure: number, body: XdrReader): LibvirtEvent | null {
  // Every callback message begins with the callback's id and the domain.
  if (procedure === procedures.lifecycle) {
    body.int()
    const { id } = readDomain(body)
    const [event, details] = lifecycle[body.int()] ?? ['unknown', []]
    return { id, event, detail: details[body.int()] ?? '' }
  }
  if (procedure === procedures.reboot) {
    body.int()
    return { id: readDomain(body).id, event: 'rebooted', detail: '' }
  }
  if (procedure === procedures.ioErrorReason) {
    body.int()
    const { id } = readDomain(body)
    const path = body.string()
    body.string()
    body.int()
    return { id, event: 'ioError', detail: `${body.string()} ${path}`.trim() }
  }
  if (procedure === procedures.agentLifecycle) {
    body.int()
    const { id } = readDomain(body)
    return { id, event: body.int() === 1 ? 'agentConnected' : 'agentDisconnected', detail: '' }
  }
  return null
}

/** virDomainEventType and its details. */
const lifecycle: readonly (readonly [string, readonly string[]])[] = [
  ['defined', ['added', 'updated', 'renamed', 'fromSnapshot']],
  ['undefined', ['removed', 'renamed']],
  ['started', ['booted', 'migrated', 'restored', 'fromSnapshot', 'wakeup']],
  ['suspended', ['paused', 'migrated', 'ioError', 'watchdog', 'restored', 'fromSnapshot', 'apiError', 'postCopy', 'postCopyFailed']],
  ['resumed', ['unpaused', 'migrated', 'fromSnapshot', 'postCopy']],
  ['stopped', ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'fromSnapshot']],
  ['shutdown', ['finished', 'guest', 'host']],
  ['pmSuspended', ['memory', 'disk']],
  ['crashed', ['panicked', 'crashLoaded']],
]
