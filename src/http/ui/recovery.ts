// The page of backups: facts, a form whose answer is the file, and what to do when a cluster is lost.
import { Hono } from 'hono'
import { OperationalError } from '../../model/error.ts'
import { recoveryPage, type RecoveryPage } from '../../../ui/views/recovery.ts'
import { answerBackup } from '../api/cluster-backup.ts'
import { callerOf, type HttpEnv } from '../context.ts'
import { fieldErrorsOf } from './field-errors.ts'
import { answerPage, requestFrame, type Ui, type UiContext } from './page.ts'
import { fieldOf, formOf, statusOf, writeOptionsOf } from './write.ts'

export function recoveryRoutes(ui: Ui): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .get('/recovery', (context) => answerRecovery(ui, context, {}))
    .post('/recovery', async (context) => {
      const form = formOf(context)
      const withoutKey = fieldOf(form, 'withoutKey') === 'yes'
      // As it was typed: blanks may be meant.
      const passphrase = form.get('passphrase') ?? ''
      if (withoutKey && passphrase !== '') return answerRecovery(ui, context, { withoutKey, errors: { passphrase: 'A passphrase, or none: not both.' } }, 422)
      if (!withoutKey && passphrase !== (form.get('again') ?? '')) return answerRecovery(ui, context, { errors: { again: 'Both differ.' } }, 422)
      try {
        const written = await ui.app.clusterBackup.backup(callerOf(context), { passphrase: withoutKey ? null : passphrase, ...(fieldOf(form, 'local') === 'yes' ? { local: true } : {}) }, writeOptionsOf(context))
        if ('dryRun' in written) throw new Error('assertion: a form asks for no dry run')
        return answerBackup(written)
      } catch (error) {
        if (!(error instanceof OperationalError) || error.code !== 'INVALID') throw error
        return answerRecovery(ui, context, { withoutKey, errors: fieldErrorsOf(error, { otherwise: 'passphrase', paths: { passphrase: 'passphrase' } }) }, statusOf(error))
      }
    })
}

function answerRecovery(ui: Ui, context: UiContext, extra: Partial<Pick<RecoveryPage, 'errors' | 'withoutKey'>>, status = 200): Response | Promise<Response> {
  const frame = requestFrame(ui, context)
  const data = { ...ui.app.clusterBackup.lastBackup(callerOf(context)), errors: {}, withoutKey: false, ...extra }
  return answerPage(ui, context, frame, { title: 'Backup and recovery', section: 'recovery', status }, recoveryPage(frame, data))
}
