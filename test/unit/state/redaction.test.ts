// What is taken out of a support bundle: every secret there is, and nothing that applying needs to tell apart.
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { commandPayloads } from '../../../src/model/command.ts'
import { isSecretField, Redactor } from '../../../src/state/redaction.ts'

describe('redaction', () => {
  test('equal secrets become equal placeholders, others others; the rest is the very same', () => {
    const redactor = new Redactor()
    const record = { id: 'a', passwordHash: 'scrypt$1', spec: { cloudInit: { userData: 'password: x' } }, list: [{ secretHash: 's' }] }
    expect(redactor.redact(record)).toEqual({ id: 'a', passwordHash: 'redacted:1', spec: { cloudInit: { userData: 'redacted:2' } }, list: [{ secretHash: 'redacted:3' }] })
    expect(redactor.redact({ joinSecretHash: 's', wrappedClusterKey: 'w' })).toEqual({ joinSecretHash: 'redacted:3', wrappedClusterKey: 'redacted:4' })
    const plain = { id: 'a', passwordChangedMs: 7, wrapKey: 'public' }
    expect(redactor.redact(plain)).toBe(plain)
    expect(record.passwordHash).toBe('scrypt$1')
    expect(redactor.count).toBe(4)
  })

  test('everything under a secret name is one, and nothing empty is', () => {
    expect(new Redactor().redact({ secrets: { first: 'a', more: ['b', 1] }, userData: '' })).toEqual({ secrets: { first: 'redacted:1', more: ['redacted:2', 1] }, userData: '' })
  })

  /** Text in commands whose name sounds like a secret, and is none. */
  const harmless = new Set(['wrapKey', 'caCertificate', 'sha256', 'parentId', 'joinTokenId', 'tokenId', 'hash', 'seed', 'seedPath', 'token', 'peerId'])
  test.each(fieldsOf())('$field of commands is taken out, or known to be harmless', ({ field }) => {
    const sounds = /key|secret|hash|token|password|seal|wrap|credential|private|certificate|userdata|networkconfig|url|seed|sha|peerid/i.test(field)
    expect(!sounds || isSecretField(field) || harmless.has(field), field).toBe(true)
  })
})

function fieldsOf(): readonly { readonly field: string }[] {
  const names = new Set<string>()
  for (const schema of Object.values(commandPayloads)) collect(z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }), names)
  return [...names].toSorted().map((field) => ({ field }))
}

function collect(schema: unknown, names: Set<string>): void {
  if (typeof schema !== 'object' || schema === null) return
  if ('properties' in schema && typeof schema.properties === 'object' && schema.properties !== null) for (const name of Object.keys(schema.properties)) names.add(name)
  for (const part of Object.values(schema)) collect(part, names)
}
