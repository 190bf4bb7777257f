// A child process that runs one seed after the other, as it is told, and where it is asked to says in the end which lines of the engine they ran.
import { beginCoverage } from './coverage.ts'

const coverage = process.argv.includes('cover') ? await beginCoverage() : null
// Loaded now, so that all of it is seen.
const { runSeed } = await import('./seed.ts')

process.on('message', (order: { readonly kind: 'run'; readonly seed: number } | { readonly kind: 'end' }) => {
  if (order.kind === 'run') {
    void runSeed(order.seed, { onNote: undefined }).then((report) => process.send?.({ kind: 'report', report }))
    return
  }
  if (coverage === null) return process.disconnect()
  void coverage.lines().then((lines) => process.send?.({ kind: 'coverage', lines }, () => process.disconnect()))
})
// Nobody is left to be told.
process.on('disconnect', () => process.exit())
process.send?.({ kind: 'ready' })
