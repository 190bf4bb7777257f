// Saves a node's support bundle the moment its state is found to differ: what it remembers of the way there is gone with its process.
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { SupportBundle } from './app/face.ts'
import { packBundle } from './http/support-bundle.ts'
import type { Log } from './ports/log.ts'

/** One file for each index; the first is kept, for later ones come after a restart and know less. */
export async function saveEvidence(bundle: SupportBundle, options: { readonly dataDir: string; readonly index: number }, log: Log): Promise<void> {
  const path = join(options.dataDir, `diverged-${options.index}.bundle.gz`)
  try {
    await pipeline(packBundle(bundle.lines), createWriteStream(path, { flags: 'wx', mode: 0o600 }))
    log.warn('the evidence of the divergence was saved', { path })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return
    log.error('the evidence of the divergence could not be saved; run "novacron support-bundle" before this daemon is restarted', { path, error: String(error) })
  }
}
