// Addresses a guest tells: what is of use, each once; a guest that lies cannot put anything else there.
import { expect, it } from 'vitest'
import { usableAddresses } from '../../../../src/drivers/libvirt/addresses.ts'

it('leaves out loopback, link-local, repetitions and nonsense', () => {
  expect(
    usableAddresses([
      { name: 'lo', addresses: ['127.0.0.1', '::1', '10.9.9.9'] },
      { name: 'eth0', addresses: ['10.0.2.15', 'fe80::1', 'FE80::2', '169.254.3.4', 'fec0::5054:ff', '10.0.2.15', '<script>', '', '10.0.2.999'] },
      { name: 'eth1', addresses: ['127.0.0.53', '::1', '2001:db8::7'] },
    ]),
  ).toEqual(['10.0.2.15', 'fec0::5054:ff', '2001:db8::7'])
})

it('takes no more than sixty-four', () => {
  expect(usableAddresses([{ name: 'eth0', addresses: Array.from({ length: 500 }, (_, index) => `10.0.${index >> 8}.${index & 255}`) }])).toHaveLength(64)
})
