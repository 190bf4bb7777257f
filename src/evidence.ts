// Saves a node's support bundle the moment its state is found to differ: what it remembers of the way there is gone with its process.
import { createWriteStream } from 'node:fs'
import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { SupportBundle } from './app/face.ts'
import { packBundle } from './http/support-bundle.ts'
import { syncDirectory } from './membership-file.ts'
import type { Log } from './ports/log.ts'

/** One file for each index, under its name only once it is whole and on the disk; the first is kept, for later ones come after a restart and know less. */
export async function saveEvidence(bundle: SupportBundle, options: { readonly dataDir: string; readonly index: number }, log: Log): Promise<void> {
  const path = join(options.dataDir, `diverged-${options.index}.bundle.gz`)
  const draft = `${path}.part`
  try {
    // Of a process that was cut short.
    await rm(draft, { force: true })
    await pipeline(packBundle(bundle.lines), createWriteStream(draft, { flags: 'wx', mode: 0o600, flush: true }))
    // Not renamed: that would replace the first.
    await link(draft, path)
    await syncDirectory(options.dataDir)
    log.warn('the evidence of the divergence was saved', { path })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return
    log.error('the evidence of the divergence could not be saved; run "novacron support-bundle" before this daemon is restarted', { path, error: String(error) })
  } finally {
    await rm(draft, { force: true }).catch(() => undefined)
  }
}
