// Admission of joiners: what the certificate that they get may stand for.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { X509Certificate } from 'node:crypto'
import type { Caller, MadeJoinToken, WriteOptions } from '../../../src/app/face.ts'
import { joinRequest, startRealNode, type RealNode } from '../http/real-node.ts'

let node: RealNode
let caller: Caller
const options: WriteOptions = { idempotencyKey: null, bodyHash: '', ifMatch: null, dryRun: false, waitSeconds: 0, signal: new AbortController().signal }

beforeAll(async () => {
  node = await startRealNode()
  caller = (await node.node.app.identity.authenticateToken(node.token, ''))!
})
afterAll(() => node.stop())

async function joinToken() {
  return (await node.node.app.membership.createJoinToken(caller, {}, options)) as MadeJoinToken
}

async function admit(changes: { readonly names?: string[]; readonly addresses?: string[] }) {
  const { token } = await joinToken()
  return node.node.app.membership.admit(token, await joinRequest('n2', token, changes), '')
}

test('refuses a joiner that does not hold the key it joins with', async () => {
  const { token } = await joinToken()
  const [own, stolen] = [await joinRequest('n2', token), await joinRequest('n3', token)]
  for (const request of [
    { ...own, node: { ...own.node, peerId: stolen.node.peerId } },
    { ...own, proof: stolen.proof },
    { ...own, tlsPublicKeyPem: stolen.tlsPublicKeyPem },
    { ...own, proof: 'A'.repeat(86) },
  ]) await expect(node.node.app.membership.admit(token, request, '')).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  const { token: other } = await joinToken()
  await expect(node.node.app.membership.admit(other, own, '')).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  expect(node.node.cluster.state.tables.node.size).toBe(1)
})

test('refuses a joiner whose software is older than a member\'s', async () => {
  const { token } = await joinToken()
  const { announcement } = await joinRequest('n2', token)
  const request = await joinRequest('n2', token, { announcement: { ...announcement, version: '0.0.9', featureLevel: announcement.featureLevel - 1 } })
  await expect(node.node.app.membership.admit(token, request, '')).rejects.toMatchObject({ code: 'STATE_CONFLICT', message: expect.stringContaining('n2 runs 0.0.9') })
  expect(node.node.cluster.state.tables.node.size).toBe(1)
})

test.each([
  ['another node\'s name', { names: ['n1'] }, 'names'],
  ['another node\'s address', { addresses: ['192.0.2.1'] }, 'addresses'],
])('refuses a certificate for %s', async (_what, changes, path) => {
  await expect(admit(changes)).rejects.toMatchObject({ code: 'INVALID', data: { fields: [{ path: `${path}.0` }] } })
  expect(node.node.cluster.state.tables.node.size).toBe(1)
})

test('issues one for what the joiner announces of itself', async () => {
  const answer = (await admit({ names: ['n2', 'localhost'], addresses: ['192.0.2.2', '127.0.0.1'] })) as { readonly certificatePem: string }
  expect(new X509Certificate(answer.certificatePem).subjectAltName).toMatch(/^DNS:n2, DNS:localhost, IP Address:192\.0\.2\.2, IP Address:127\.0\.0\.1, URI:urn:novacron:node:/)
})
