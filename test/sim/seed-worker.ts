// A child process that runs one seed after the other, as it is told.
import { runSeed } from './seed.ts'

process.on('message', (order: { readonly kind: 'run'; readonly seed: number } | { readonly kind: 'end' }) => {
  if (order.kind === 'end') {
    process.disconnect()
    return
  }
  void runSeed(order.seed, { onNote: undefined }).then((report) => process.send?.(report))
})
