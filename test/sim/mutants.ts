// Planted bugs: changes of production code, one at a time, that the simulator has to find. `node --import ./test/sim/mutants.ts`, MUTANT=name.
import { registerHooks } from 'node:module'

type Mutant = { readonly why: string; readonly changes: readonly { readonly file: string; readonly from: string; readonly to: string }[] }

export const mutants = {
  startBeforeCommit: {
    why: 'the target starts the guest as soon as it sees it, before the source has stopped and Raft has said so',
    changes: [{
      file: 'src/operations/migrate-vm.ts',
      from: 'return done({ ...made, address })',
      to: `const start = (): void => void this.#ports.hypervisor.find(vm.id).then((domain) => (domain?.state === 'paused' ? this.#ports.hypervisor.boot(vm.id, operation.move.epoch) : void this.#ports.clock.after(50, start))).catch(() => undefined)
    start()
    return done({ ...made, address })`,
    }],
  },
  takeoverDuringMigration: {
    why: 'the target\'s controller takes the VM for its own while it is still on its way',
    changes: [
      {
        file: 'src/controllers/vm.ts',
        from: `const vm = this.#ports.consensus.state.tables.vm.get(id)
      const domain = await`,
        to: `const held = this.#ports.consensus.state.tables.vm.get(id)
      const vm = held?.migration?.target.nodeId === this.#nodeId ? { ...held, assignment: held.migration.target, migration: null, operationId: null } : held
      const domain = await`,
      },
      { file: 'src/controllers/vm.ts', from: 'if (vm?.assignment?.nodeId === this.#nodeId ||', to: 'if (vm?.migration?.target.nodeId === this.#nodeId || vm?.assignment?.nodeId === this.#nodeId ||' },
    ],
  },
  flipBeforeTransfer: {
    why: 'the target becomes the owner when its place is made, not when the source has let go',
    changes: [{ file: 'src/model/migration.ts', from: "{ name: 'prepare', on: 'target', ...returning, undo: true },\n    { name: 'transfer'", to: "{ name: 'prepare', on: 'target', ...returning, undo: true, flips: true, frees: true },\n    { name: 'transfer'" }],
  },
} as const satisfies Record<string, Mutant>
export type MutantName = keyof typeof mutants

const wanted = process.env['MUTANT'] ?? ''
if (wanted !== '') plant(mutants[wanted as MutantName])

function plant(mutant: Mutant | undefined): void {
  if (mutant === undefined) throw new Error(`there is no mutant ${wanted}, only ${Object.keys(mutants).join(', ')}`)
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const changes = mutant.changes.filter(({ file }) => url.endsWith(`/${file}`))
      if (changes.length === 0 || loaded.source === undefined || loaded.source === null) return loaded
      let source = typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString()
      for (const { file, from, to } of changes) {
        if (!source.includes(from)) throw new Error(`the mutant does not fit ${file} any more: ${from}`)
        source = source.replace(from, () => to)
      }
      return { ...loaded, source }
    },
  })
}
