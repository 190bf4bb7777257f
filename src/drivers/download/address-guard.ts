// Which addresses images may be fetched from: those of the public internet, but none of our own; and ranges that a node's operator allows.
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import { OperationalError } from '../../model/error.ts'

/** IANA's registries of special addresses: all that is not globally reachable, and multicast. */
const refusedV4 = [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24',
  '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
] as const
/** Only 2000::/3 is handed out; within it, those that carry an IPv4 address or are for documents and protocols. */
const publicV6 = '2000::/3'
const refusedV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'] as const
const mappedV6 = '::ffff:0:0/96'

export type AddressRules = {
  /** CIDR ranges that are let through though they are private, or our own. */
  readonly allow: readonly string[]
  /** This node's and the other members' addresses, as they are now. */
  readonly own: () => readonly string[]
}

export class AddressGuard {
  readonly #refusedV4 = listOf(refusedV4)
  readonly #publicV6 = listOf([publicV6])
  readonly #refusedV6 = listOf(refusedV6)
  readonly #mapped = listOf([mappedV6])
  readonly #allowed: BlockList
  readonly #own: () => readonly string[]

  /** @throws RangeError where a range is no CIDR range */
  constructor(rules: AddressRules) {
    this.#allowed = listOf(rules.allow)
    this.#own = rules.own
  }

  /** @throws OperationalError SOURCE_REFUSED that says what the address is */
  require(address: string, host: string): void {
    const reason = this.reasonAgainst(address)
    if (reason === null) return
    const where = address === host ? address : `${host} (${address})`
    throw new OperationalError('SOURCE_REFUSED', `${where} is ${reason}: images are not fetched from there. Upload the file, or allow the range by imageSources.allowPrivate in this node's configuration.`)
  }

  /** Null where the address may be asked. */
  reasonAgainst(address: string): string | null {
    const bare = unmapped(address, this.#mapped)
    if (bare === null) return 'no address'
    const family = isIPv4(bare) ? 'ipv4' : 'ipv6'
    if (this.#allowed.check(bare, family)) return null
    if (listOfAddresses(this.#own()).check(bare, family)) return 'an address of this cluster'
    if (family === 'ipv4') return this.#refusedV4.check(bare, family) ? 'not a public address' : null
    return this.#publicV6.check(bare, family) && !this.#refusedV6.check(bare, family) ? null : 'not a public address'
  }
}

/** IPv4 within IPv6 as what it is; without a zone. Null where it is no address. */
function unmapped(address: string, mapped: BlockList): string | null {
  const bare = address.replace(/%.*$/, '').replace(/^\[|\]$/g, '')
  if (isIPv4(bare)) return bare
  if (!isIPv6(bare)) return null
  if (!mapped.check(bare, 'ipv6')) return bare
  // The URL parser writes the last 32 bits as two groups of hex digits.
  const [high = '', low = ''] = new URL(`http://[${bare}]`).hostname.slice('[::ffff:'.length, -1).split(':')
  const bits = Number.parseInt(high, 16) * 0x10000 + Number.parseInt(low, 16)
  return [24, 16, 8, 0].map((shift) => Math.floor(bits / 2 ** shift) % 256).join('.')
}

function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits = ''] = range.split('/')
    const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
    if (isIP(address) === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 'ipv4' ? 32 : 128)) throw new RangeError(`${range} is no range of addresses, like 192.0.2.0/24`)
    list.addSubnet(address, Number(bits), family)
  }
  return list
}

function listOfAddresses(addresses: readonly string[]): BlockList {
  const list = new BlockList()
  for (const address of addresses) {
    const family = isIP(address)
    if (family !== 0) list.addAddress(address, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}
