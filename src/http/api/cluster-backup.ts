// Routes of backups: what the last one was, and a new one as a file.
import type { BackupFile } from '../../app/face.ts'
import { readParameters, writeParameters } from '../query.ts'
import type { Route } from '../route.ts'
import { schemas } from './schemas.ts'

const base = '/api/v1/cluster/backup'
const backupType = 'application/vnd.novacron.backup'

export const clusterBackupRoutes: readonly Route[] = [
  {
    method: 'GET', path: base, operationId: 'getBackup', tag: 'Cluster', summary: 'What is known of the last backup', credential: 'caller', right: 'administer cluster', query: readParameters,
    answers: { 200: { description: 'The last backup that was handed over to its end', schema: schemas.backup } }, errors: [],
    handle: (caller, { app }) => ({ status: 200, body: app.clusterBackup.lastBackup(caller) }),
  },
  {
    method: 'POST', path: base, operationId: 'createBackup', tag: 'Cluster', summary: 'Back up the whole replicated state: the answer is the file', credential: 'caller', right: 'administer cluster', query: writeParameters,
    body: { required: false, types: ['application/json'], schema: schemas.backupCreate },
    answers: { 201: { description: 'The backup, as docs/backup-format.md describes it', types: [backupType] }, 200: { description: 'Dry run', schema: schemas.dryRun } }, errors: ['INVALID', 'OVERLOADED'],
    handle: async (caller, { app, body, write }) => {
      const written = await app.clusterBackup.backup(caller, body, write)
      return 'dryRun' in written ? { status: 200, body: written } : answerBackup(written)
    },
  },
]

/** Read as fast as the client takes it. */
export function answerBackup({ name, index, bytes }: BackupFile): Response {
  const pieces = bytes[Symbol.asyncIterator]()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await pieces.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
    cancel: async () => {
      await pieces.return?.()
    },
  }, { highWaterMark: 0 })
  return new Response(body, { status: 201, headers: { 'Content-Type': backupType, 'Content-Disposition': `attachment; filename="${name}"`, 'Cache-Control': 'no-store', 'Novacron-Index': String(index) } })
}
