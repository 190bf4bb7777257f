// The control socket.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startControl, type ControlServer } from '../../../src/http/control.ts'
import { clock, recordingLog, type Json } from './harness.ts'
import { smallControl } from './small-app.ts'

const directory = mkdtempSync(join(tmpdir(), 'novacron-control-'))
const path = join(directory, 'control.sock')
let server: ControlServer
beforeAll(async () => { server = await startControl({ path, control: smallControl, clock, log: recordingLog([]) }) })
afterAll(async () => {
  await server.stop()
  rmSync(directory, { recursive: true })
})

function ask(method: string, target: string, body?: string, more: Readonly<Record<string, string>> = {}): Promise<{ status: number; json: Json }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, method, path: target, agent: false, headers: { ...more, ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }) } }, (response) => {
      let text = ''
      response.on('data', (data: Buffer) => { text += data.toString() }).on('end', () => resolve({ status: response.statusCode ?? 0, json: JSON.parse(text) }))
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

test('only its owner may open it', () => {
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(path).isSocket()).toBe(true)
})

test('answers what root may ask', async () => {
  expect(await ask('GET', '/status')).toMatchObject({ status: 200, json: { clustered: true } })
  expect(await ask('GET', '/doctor')).toMatchObject({ status: 200, json: [{ check: 'clock' }] })
  expect(await ask('POST', '/init', '{"name":"lab"}')).toMatchObject({ status: 200, json: { token: 'nct_x' } })
  expect(await ask('POST', '/join', '{"token":"ncj_x"}')).toMatchObject({ status: 200, json: { name: 'n1' } })
})

test('faults are problems with a code', async () => {
  expect(await ask('POST', '/init')).toMatchObject({ status: 409, json: { code: 'ALREADY_MEMBER' } })
  expect(await ask('POST', '/init', '{')).toMatchObject({ status: 400, json: { code: 'MALFORMED' } })
  expect(await ask('GET', '/nothing')).toMatchObject({ status: 404 })
  expect(await ask('POST', '/init', `"${'x'.repeat(1024 * 1024)}"`)).toMatchObject({ status: 413 })
})

test('a backup comes as it is, with its options beside it; a refusal in its midst is heard', async () => {
  const options = { 'Novacron-Options': Buffer.from('{"dryRun":true}').toString('base64url') }
  expect(await ask('POST', '/restore', 'x'.repeat(3_000_000), options)).toMatchObject({ status: 422, json: { code: 'BACKUP_DAMAGED', detail: expect.stringContaining('{"dryRun":true}') } })
  expect(await ask('POST', '/restore', 'x')).toMatchObject({ status: 400, json: { code: 'MALFORMED' } })
  expect(await ask('POST', '/recover', '{}')).toMatchObject({ status: 409, json: { code: 'STATE_CONFLICT' } })
})

test('a socket left behind is replaced; a path that is too long is told', async () => {
  const again = await startControl({ path, control: smallControl, clock, log: recordingLog([]) })
  expect((await ask('GET', '/status')).status).toBe(200)
  await server.stop()
  server = again
  await expect(startControl({ path: `/tmp/${'x'.repeat(120)}`, control: smallControl, clock, log: recordingLog([]) })).rejects.toThrow(RangeError)
})
