// What has to be undone whatever happens: at the end, at a failure, at Ctrl-C.

type Undo = () => Promise<void> | void

/** Runs `action`; what it registered is undone afterwards, last first, also where it fails or the process is told to end. */
export async function withCleanup(action: (defer: (undo: Undo) => void) => Promise<void>): Promise<void> {
  const undos: Undo[] = []
  const interrupted: { undoing: Promise<void> | null } = { undoing: null }
  const undoAll = async (): Promise<void> => {
    for (const undo of undos.splice(0).toReversed()) {
      try {
        await undo()
      } catch (error) {
        console.error(`cleaning up: ${error instanceof Error ? error.message : String(error)}`)
        process.exitCode = 1
      }
    }
  }
  const onSignal = (): void => {
    interrupted.undoing ??= undoAll().finally(() => process.exit(1))
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  try {
    await action((undo) => undos.push(undo))
  } catch (error) {
    if (interrupted.undoing === null) {
      console.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
      process.exitCode = 1
    }
  } finally {
    await (interrupted.undoing ?? undoAll())
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}
