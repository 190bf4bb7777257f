// libvirt's structured errors and what they mean to us.
import { OperationalError, type ErrorCode } from '../../model/error.ts'
import type { XdrReader } from './xdr.ts'

/** The virErrorNumber values that we tell apart (libvirt/virterror.h). */
export const libvirtErrors = {
  internal: 1,
  noSupport: 3,
  invalidArgument: 8,
  operationFailed: 9,
  domainExists: 20,
  noDomain: 42,
  operationInvalid: 55,
  configUnsupported: 67,
  operationTimeout: 68,
  argumentUnsupported: 74,
  noDomainMetadata: 80,
  agentUnresponsive: 86,
  agentUnsynced: 97,
  agentCommandTimeout: 105,
} as const

const codes: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [libvirtErrors.noDomain, 'DOMAIN_MISSING'],
  [libvirtErrors.operationTimeout, 'HYPERVISOR_TIMEOUT'],
  [libvirtErrors.agentUnresponsive, 'AGENT_UNAVAILABLE'],
  [libvirtErrors.agentUnsynced, 'AGENT_UNAVAILABLE'],
  [libvirtErrors.agentCommandTimeout, 'AGENT_UNAVAILABLE'],
])

/**
 * Reads a remote_error: code, domain, message; what follows is of no use to us.
 * @param call what was asked, for the sentence
 */
export function readLibvirtError(reader: XdrReader, call: string): OperationalError {
  const number = reader.int()
  const domain = reader.int()
  const message = reader.maybeString() ?? 'no message'
  return new OperationalError(codes.get(number) ?? 'HYPERVISOR_REFUSED', `libvirt refused ${call}: ${message}`, {
    data: { libvirtCode: number, libvirtDomain: domain, libvirtMessage: message.slice(0, 1000) },
  })
}

/** Whether an error is libvirt's with one of these numbers. */
export function isLibvirtError(error: unknown, ...numbers: readonly number[]): error is OperationalError {
  return error instanceof OperationalError && typeof error.data['libvirtCode'] === 'number' && numbers.includes(error.data['libvirtCode'])
}

export function isCode(error: unknown, ...wanted: readonly ErrorCode[]): error is OperationalError {
  return error instanceof OperationalError && wanted.includes(error.code)
}
