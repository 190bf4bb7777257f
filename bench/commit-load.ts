// Some writers that each write again as soon as they were answered, for a time.

/** `samplesMs` in the order in which the answers came; `seconds` from the first write to the last answer. */
export type Written = { readonly samplesMs: readonly number[]; readonly seconds: number }

/** @throws what `write` throws */
export async function drive(options: { readonly writers: number; readonly seconds: number }, write: (number: number) => Promise<void>): Promise<Written> {
  const samplesMs: number[] = []
  const startedMs = performance.now()
  const endMs = startedMs + options.seconds * 1000
  let number = 0
  await Promise.all(Array.from({ length: options.writers }, async () => {
    for (;;) {
      const beganMs = performance.now()
      if (beganMs >= endMs) return
      await write(number++)
      samplesMs.push(performance.now() - beganMs)
    }
  }))
  return { samplesMs, seconds: (performance.now() - startedMs) / 1000 }
}
