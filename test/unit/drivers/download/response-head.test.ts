// The head of a peer's answer: taken in pieces of any size, and nothing believed that is not exactly as it should be.
import { describe, expect, test } from 'vitest'
import { HeadReader, headBytesMax } from '../../../../src/drivers/download/response-head.ts'

const good = 'HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\nContent-Length: 12\r\nX-Empty:\r\n\r\n'
const take = (text: string) => new HeadReader().take(Buffer.from(text, 'latin1'))

test('a head and where the body begins', () => {
  expect(take(`${good}body`)).toEqual({ head: { status: 200, bodyBytes: 12 }, bodyAt: good.length })
  expect(take('HTTP/1.1 200 \r\nContent-Length:0  \r\n\r\n')?.head).toEqual({ status: 200, bodyBytes: 0 })
  expect(take('HTTP/1.1 401 Unauthorized\r\n\r\n')?.head).toEqual({ status: 401, bodyBytes: null })
})

test.each([1, 2, 3, 7, 40])('comes in pieces of %i bytes', (size) => {
  const reader = new HeadReader()
  const bytes = Buffer.from(`${good}body`)
  let taken = null
  let at = 0
  for (; taken === null; at += size) taken = reader.take(bytes.subarray(at, at + size))
  expect(taken.head).toEqual({ status: 200, bodyBytes: 12 })
  expect(at - size + taken.bodyAt).toBe(good.length)
})

test('an unfinished head is waited for', () => {
  for (const end of [0, 1, 20, good.length - 1]) expect(take(good.slice(0, end))).toBeNull()
})

test('a head without an end is refused in time', () => {
  const reader = new HeadReader()
  expect(reader.take(Buffer.alloc(headBytesMax, 'a'))).toBeNull()
  expect(() => reader.take(Buffer.from('a'))).toThrow(/too long/)
})

describe('refused', () => {
  const length = 'Content-Length: 5\r\n'
  test.each([
    ['another protocol', `HTTP/2 200 OK\r\n${length}\r\n`], ['an older protocol', `HTTP/1.0 200 OK\r\n${length}\r\n`], ['no protocol', `SSH-2.0-x\r\n${length}\r\n`],
    ['something before', `\r\nHTTP/1.1 200 OK\r\n${length}\r\n`], ['an interim answer', 'HTTP/1.1 100 Continue\r\n\r\n'], ['no status', `HTTP/1.1 OK\r\n${length}\r\n`], ['a long status', `HTTP/1.1 2000 OK\r\n${length}\r\n`],
    ['no length', 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n'], ['two lengths', `HTTP/1.1 200 OK\r\n${length}${length}\r\n`], ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n'],
    ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n'], ['a length with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n'], ['a hexadecimal length', 'HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n'],
    ['a huge length', `HTTP/1.1 200 OK\r\nContent-Length: ${'9'.repeat(16)}\r\n\r\n`], ['an empty length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n'],
    ['chunks', `HTTP/1.1 200 OK\r\n${length}Transfer-Encoding: chunked\r\n\r\n`], ['compression', `HTTP/1.1 200 OK\r\n${length}content-encoding: gzip\r\n\r\n`], ['a part', `HTTP/1.1 200 OK\r\n${length}Content-Range: bytes 0-4/9\r\n\r\n`],
    ['a folded line', `HTTP/1.1 200 OK\r\n${length}X: y\r\n z\r\n\r\n`], ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n'], ['a bare line feed', `HTTP/1.1 200 OK\n${length}\r\n`],
    ['a bare line feed within', 'HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\n'], ['a control character', `HTTP/1.1 200 OK\r\n${length}X: \0\r\n\r\n`], ['a line that is no header', `HTTP/1.1 200 OK\r\n${length}nonsense\r\n\r\n`],
  ])('%s', (_what, text) => expect(() => take(text)).toThrow(/answer/))
})
