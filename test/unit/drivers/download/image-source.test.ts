// Images from addresses: nothing private, nothing of our own, whatever form it comes in; redirects, ranges and breaks on a real server.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { AddressGuard } from '../../../../src/drivers/download/address-guard.ts'
import { HttpImageSource } from '../../../../src/drivers/download/image-source.ts'

const guard = new AddressGuard({ allow: ['10.9.0.0/16', 'fd00:9::/32'], own: () => ['8.8.4.4', '2600::1'] })

describe('addresses', () => {
  test.each([
    '127.0.0.1', '127.9.9.9', '0.0.0.0', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '169.254.169.254', '100.64.0.1', '192.0.2.7', '198.18.0.1',
    '224.0.0.1', '239.1.1.1', '255.255.255.255', '::1', '::', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd12::1', 'ff02::1', '2001:db8::1', '2002:7f00:1::', '64:ff9b::7f00:1',
    '::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:7f00:1', '8.8.4.4', '2600::1', '2600:0:0:0:0:0:0:1', '::ffff:8.8.4.4', 'no address', '',
  ])('%s is refused', (address) => expect(guard.reasonAgainst(address)).not.toBeNull())

  test.each(['8.8.8.8', '1.1.1.1', '172.32.0.1', '::ffff:8.8.8.8', '2606:4700::1111', '10.9.1.1', '::ffff:10.9.1.1', 'fd00:9::5'])('%s may be asked', (address) => expect(guard.reasonAgainst(address)).toBeNull())

  test('a range that is none is told at once', () => {
    for (const range of ['10.0.0.0', '10.0.0.0/33', 'x/8', '::/129']) expect(() => new AddressGuard({ allow: [range], own: () => [] })).toThrow(RangeError)
  })
})

const strict = new HttpImageSource({ allowPrivate: [], members: () => [] })
const limits = (sizeBytesMax = 2 ** 30, signal = new AbortController().signal) => ({ sizeBytesMax, signal })
const begin = { offset: 0, validator: null }

test.each([
  'ftp://example.com/a', 'file:///etc/passwd', 'gopher://x', 'nonsense', 'http://user:secret@example.com/a', 'http://127.0.0.1/a', 'http://[::1]/a', 'http://2130706433/', 'http://0x7f.1/', 'http://017700000001/',
  'http://127.1/', 'http://[::ffff:127.0.0.1]/', 'http://localhost/a', 'http://a.localhost/', 'http://169.254.169.254/latest/meta-data', 'https://192.168.0.1/x',
])('%s is refused before anything is asked', (url) => {
  expect(() => strict.check(url)).toThrow(expect.objectContaining({ code: 'SOURCE_REFUSED' }))
})

test('a name is what it resolves to, all of it', async () => {
  for (const addresses of [['127.0.0.1'], ['8.8.8.8', '10.0.0.1'], ['::ffff:192.168.1.1'], ['fe80::1']]) {
    const source = new HttpImageSource({ allowPrivate: [], members: () => [], resolve: async () => addresses })
    await expect(source.open('http://images.example/a', begin, limits())).rejects.toMatchObject({ code: 'SOURCE_REFUSED' })
  }
  const nowhere = new HttpImageSource({ allowPrivate: [], members: () => [], resolve: async () => [] })
  await expect(nowhere.open('http://images.example/a', begin, limits())).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
})

describe('a server', () => {
  const file = Buffer.from('0123456789'.repeat(1000))
  let server: Server | null = null
  afterEach(() => {
    server?.closeAllConnections()
    server?.close()
  })
  async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    server = createServer(answer)
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    return `http://images.example:${(server.address() as AddressInfo).port}`
  }
  const asked: string[] = []
  const source = new HttpImageSource({
    allowPrivate: ['127.0.0.1/32'], members: () => [],
    resolve: async (host) => {
      asked.push(host)
      return [host === 'inside.example' ? '10.0.0.1' : '127.0.0.1']
    },
  })
  const collect = async (body: AsyncIterable<Uint8Array>) => {
    const parts: Uint8Array[] = []
    for await (const part of body) parts.push(part)
    return Buffer.concat(parts)
  }

  test('gives the file; the name is asked once and the connection goes where it was checked', async () => {
    let host = ''
    const url = await serve((request, response) => {
      host = request.headers.host ?? ''
      response.setHeader('ETag', '"one"').end(file)
    })
    asked.length = 0
    const opened = await source.open(`${url}/a.qcow2`, begin, limits())
    expect(opened).toMatchObject({ offset: 0, totalBytes: file.length, validator: '"one"' })
    expect((await collect(opened.body)).equals(file)).toBe(true)
    expect(host).toMatch(/^images\.example:/)
    expect(asked).toEqual(['images.example'])
  })

  test('goes on where it was, if it is the same file', async () => {
    const url = await serve((request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const same = request.headers['if-range'] === '"one"'
      response.setHeader('ETag', '"one"')
      if (from > 0 && same) response.writeHead(206, { 'Content-Range': `bytes ${from}-${file.length - 1}/${file.length}` }).end(file.subarray(from))
      else response.writeHead(200, { 'Content-Length': file.length }).end(file)
    })
    const opened = await source.open(url, { offset: 4000, validator: '"one"' }, limits())
    expect(opened).toMatchObject({ offset: 4000, totalBytes: file.length })
    expect((await collect(opened.body)).equals(file.subarray(4000))).toBe(true)
    expect(await source.open(url, { offset: 4000, validator: '"other"' }, limits())).toMatchObject({ offset: 0, totalBytes: file.length })
  })

  test('redirects are followed, a few, and never to the inside', async () => {
    const url = await serve((request, response) => {
      const steps = Number(request.url?.slice(1))
      if (request.url === '/inside') response.writeHead(302, { Location: 'http://inside.example/x' }).end()
      else if (request.url === '/meta') response.writeHead(302, { Location: 'http://169.254.169.254/' }).end()
      else if (request.url === '/file') response.writeHead(301, { Location: 'file:///etc/passwd' }).end()
      else if (steps > 0) response.writeHead(307, { Location: `/${steps - 1}` }).end()
      else response.end(file)
    })
    expect((await collect((await source.open(`${url}/5`, begin, limits())).body)).length).toBe(file.length)
    await expect(source.open(`${url}/6`, begin, limits())).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
    for (const path of ['inside', 'meta', 'file']) await expect(source.open(`${url}/${path}`, begin, limits())).rejects.toMatchObject({ code: 'SOURCE_REFUSED' })
  })

  test('errors, sizes, breaks and giving up are told as what they are', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/missing') response.writeHead(404).end()
      else if (request.url === '/broken') {
        response.writeHead(200, { 'Content-Length': 100_000 })
        response.write(file)
        setTimeout(() => response.destroy(), 50)
      } else if (request.url === '/packed') response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(file)
      else if (request.url === '/slow') response.writeHead(200, { 'Content-Length': 100_000 }).write('x')
      else response.writeHead(200, { 'Content-Length': file.length }).end(file)
    })
    await expect(source.open(`${url}/missing`, begin, limits())).rejects.toMatchObject({ code: 'SOURCE_FAILED', message: expect.stringContaining('404') })
    await expect(source.open(`${url}/packed`, begin, limits())).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
    await expect(source.open(url, begin, limits(100))).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    await expect(collect((await source.open(`${url}/broken`, begin, limits())).body)).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
    const abort = new AbortController()
    const slow = await source.open(`${url}/slow`, begin, limits(2 ** 30, abort.signal))
    const reading = collect(slow.body)
    abort.abort(new Error('cancelled'))
    await expect(reading).rejects.toThrow('cancelled')
    await expect(source.open('http://images.example:1/', begin, limits())).rejects.toMatchObject({ code: 'SOURCE_FAILED' })
  })
})
