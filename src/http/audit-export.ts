// The audit as a file, CSV or JSON lines, written piece by piece as the reader takes it.
import type { AuditRecord } from '../model/audit.ts'

export const auditFormats = ['csv', 'jsonl'] as const
export type AuditFormat = (typeof auditFormats)[number]

const columns = ['at', 'actor', 'actorKind', 'address', 'command', 'target', 'outcome', 'code', 'detail', 'node', 'id'] as const satisfies readonly (keyof AuditRecord)[]
const recordsTogether = 200
const types: Readonly<Record<AuditFormat, string>> = { csv: 'text/csv; charset=utf-8; header=present', jsonl: 'application/jsonl; charset=utf-8' }

/** @param index of the state that is read */
export function answerAuditExport(records: Iterable<AuditRecord>, format: AuditFormat, index: number): Response {
  const pieces = renderPieces(records, format)
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { value, done } = pieces.next()
      if (done === true) controller.close()
      else controller.enqueue(encoder.encode(value))
    },
    cancel: () => void pieces.return(),
  })
  return new Response(body, { headers: { 'Content-Type': types[format], 'Content-Disposition': `attachment; filename="audit.${format}"`, 'Cache-Control': 'no-store', 'Novacron-Index': String(index) } })
}

function* renderPieces(records: Iterable<AuditRecord>, format: AuditFormat): Generator<string, void> {
  let lines: string[] = format === 'csv' ? [columns.join(',')] : []
  const end = format === 'csv' ? '\r\n' : '\n'
  for (const record of records) {
    lines.push(format === 'csv' ? columns.map((column) => renderField(record[column])).join(',') : JSON.stringify(record))
    if (lines.length < recordsTogether) continue
    yield lines.map((line) => line + end).join('')
    lines = []
  }
  yield lines.map((line) => line + end).join('')
}

/** RFC 4180; what a spreadsheet would take for a formula gets an apostrophe in front. */
function renderField(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
