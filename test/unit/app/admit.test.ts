// Admission of joiners: what the certificate that they get may stand for.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { X509Certificate } from 'node:crypto'
import type { Caller, WriteOptions } from '../../../src/app/face.ts'
import { joinRequest, startRealNode, type RealNode } from '../http/real-node.ts'

let node: RealNode
let caller: Caller
const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }

beforeAll(async () => {
  node = await startRealNode()
  caller = (await node.node.app.identity.authenticateToken(node.token, ''))!
})
afterAll(() => node.stop())

async function admit(changes: { readonly names?: readonly string[]; readonly addresses?: readonly string[] }) {
  const { token } = await node.node.app.membership.createJoinToken(caller, {}, options)
  const request = { ...(await joinRequest('n2')), ...changes }
  return node.node.app.membership.admit(token, { ...request, announcement: { ...request.announcement, httpAddress: '192.0.2.2:8443', peerAddress: '192.0.2.2:7400' } }, '')
}

test.each([
  ['another node\'s name', { names: ['n1'] }, 'names'],
  ['another node\'s address', { addresses: ['192.0.2.1'] }, 'addresses'],
])('refuses a certificate for %s', async (_what, changes, path) => {
  await expect(admit(changes)).rejects.toMatchObject({ code: 'INVALID', data: { fields: [{ path: `${path}.0` }] } })
  expect(node.node.cluster.state.tables.node.size).toBe(1)
})

test('issues one for what the joiner announces of itself', async () => {
  const answer = (await admit({ names: ['n2', 'localhost'], addresses: ['192.0.2.2', '127.0.0.1'] })) as { readonly certificatePem: string }
  expect(new X509Certificate(answer.certificatePem).subjectAltName).toBe('DNS:n2, DNS:localhost, IP Address:192.0.2.2, IP Address:127.0.0.1')
})
