// Picks the addresses worth showing out of what a guest agent tells.
import { isIPv4, isIPv6 } from 'node:net'
import type { InterfaceAddresses } from './calls.ts'

const addressesMax = 64
const addressLengthMax = 64

/** Valid addresses without loopback and link-local, each once, in the guest's order. The guest is not trusted. */
export function usableAddresses(interfaces: readonly InterfaceAddresses[]): readonly string[] {
  const addresses = interfaces.filter((one) => one.name !== 'lo').flatMap((one) => one.addresses)
  return [...new Set(addresses.filter(isUsable))].slice(0, addressesMax)
}

function isUsable(address: string): boolean {
  if (address.length > addressLengthMax) return false
  if (isIPv4(address)) return !address.startsWith('127.') && !address.startsWith('169.254.')
  return isIPv6(address) && address !== '::1' && !/^fe[89ab]/i.test(address)
}
