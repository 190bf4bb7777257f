// The audit as a file: fields that hold separators, quotes and what a spreadsheet would run; many records, piece by piece.
import { expect, test } from 'vitest'
import { answerAuditExport } from '../../../src/http/audit-export.ts'
import type { AuditRecord } from '../../../src/model/audit.ts'

const record = (changes: Partial<AuditRecord> = {}): AuditRecord => ({
  id: '7', at: '2026-11-20T10:00:00.000Z', actor: 'admin', actorKind: 'user', address: '192.0.2.1', command: 'vm.create', target: 'web', outcome: 'done', node: '', code: '', detail: '', ...changes,
})

test('CSV quotes what has to be, and disarms formulas', async () => {
  const response = answerAuditExport([record({ actor: '=cmd|x', detail: 'a "b", c\nd' })], 'csv', 7)
  expect(response.headers.get('content-type')).toContain('text/csv')
  expect(await response.text()).toBe('at,actor,actorKind,address,command,target,outcome,code,detail,node,id\r\n2026-11-20T10:00:00.000Z,\'=cmd|x,user,192.0.2.1,vm.create,web,done,,"a ""b"", c\nd",,7\r\n')
})

test('JSON lines hold every record, and are made as they are read', async () => {
  let made = 0
  function* many(): Generator<AuditRecord> {
    for (; made < 10_000; made++) yield record({ id: String(made) })
  }
  const response = answerAuditExport(many(), 'jsonl', 7)
  const reader = response.body!.getReader()
  let text = Buffer.from((await reader.read()).value ?? []).toString()
  expect(made).toBeLessThan(1000)
  for (let step = await reader.read(); !step.done; step = await reader.read()) text += Buffer.from(step.value).toString()
  const lines = text.trimEnd().split('\n')
  expect(lines).toHaveLength(10_000)
  expect((JSON.parse(lines.at(-1)!) as AuditRecord).id).toBe('9999')
})

test('a reader that goes away ends it', async () => {
  let ended = false
  function* endless(): Generator<AuditRecord> {
    try {
      for (;;) yield record()
    } finally {
      ended = true
    }
  }
  const response = answerAuditExport(endless(), 'csv', 7)
  const reader = response.body!.getReader()
  await reader.read()
  await reader.cancel()
  expect(ended).toBe(true)
})
