// Raw samples, their quantiles, and the verdict on a figure.

/** The sample below which `share` of all lie. NaN without samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

/** One line: how many, quantiles, mean, worst; in milliseconds. */
export function printSamples(name: string, samplesMs: readonly number[], more = ''): void {
  const mean = samplesMs.reduce((sum, each) => sum + each, 0) / samplesMs.length
  const figures = [0.5, 0.9, 0.99].map((share) => `p${share * 100} ${show(quantile(samplesMs, share))}`).join('  ')
  console.log(`${name.padEnd(44)} n ${String(samplesMs.length).padStart(5)}  ${figures}  max ${show(Math.max(...samplesMs))}  mean ${show(mean)} ms${more === '' ? '' : `  ${more}`}`)
}

const rawListMax = 1000

/** All samples in milliseconds: in the order they were taken; of very many only how often each length came, to two digits. */
export function printRaw(name: string, samplesMs: readonly number[]): void {
  if (samplesMs.length <= rawListMax) return console.log(`raw ms, ${name}: ${samplesMs.map((each) => each.toFixed(2)).join(' ')}`)
  const counts = new Map<number, number>()
  for (const each of samplesMs) {
    const length = Number(each.toPrecision(2))
    counts.set(length, (counts.get(length) ?? 0) + 1)
  }
  const sorted = [...counts].toSorted(([left], [right]) => left - right)
  console.log(`raw ms × how often, ${name}: ${sorted.map(([length, count]) => `${length}×${count}`).join(' ')}`)
}

/** Prints whether a figure was held, and makes the process fail where it was not. */
export function judge(figure: string, measured: number, limit: number, unit: string): void {
  const held = measured <= limit
  console.log(`${held ? 'HELD  ' : 'MISSED'} ${figure}: ${show(measured)} ${unit}, limit ${show(limit)} ${unit}`)
  if (!held) process.exitCode = 1
}

function show(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
