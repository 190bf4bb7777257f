// An hour of one thing's series in two rings of equal length: every 5 seconds for 10 minutes, every 30 seconds (means) for the hour. A fixed size, no times kept.
import { historySeconds, samplePeriodMs } from '../model/metrics.ts'

export const fineSlots = 120
const slotsPerCoarse = 6
export const coarseStepSeconds = (samplePeriodMs * slotsPerCoarse) / 1000
export const coarseSlots = historySeconds / coarseStepSeconds
/** Messages come a little early or late: a hole of one slot between two is none. */
const holeSlotsMax = 1

export class Rings {
  readonly #series: number
  readonly #fine: Float32Array
  readonly #coarse: Float32Array
  /** The newest slot written; -1 where none was. */
  #slot = -1

  /** @param series how many values a sample has */
  constructor(series: number) {
    this.#series = series
    this.#fine = new Float32Array(series * fineSlots).fill(Number.NaN)
    this.#coarse = new Float32Array(series * coarseSlots).fill(Number.NaN)
  }

  get bytes(): number {
    return this.#fine.byteLength + this.#coarse.byteLength
  }

  /** Puts a sample at its time; NaN is unknown. What is older than the newest is dropped. */
  put(atMs: number, values: readonly number[]): void {
    const slot = Math.floor(atMs / samplePeriodMs)
    if (slot < this.#slot || slot < 0) return
    const hole = this.#slot < 0 ? 0 : slot - this.#slot - 1
    const fill = hole > 0 && hole <= holeSlotsMax
    if (this.#slot >= 0) for (let passed = Math.max(this.#slot + 1, slot - fineSlots + 1); passed <= slot; passed++) this.#write(passed, fill && passed < slot ? values : null)
    this.#clearCoarse(slot)
    this.#slot = slot
    this.#write(slot, values)
    for (let each = fill ? slot - hole : slot; each <= slot; each++) this.#average(Math.floor(each / slotsPerCoarse))
  }

  /**
   * Values of one series, oldest first, ending with the step that `untilMs` is in; NaN where there is none.
   * @param stepSeconds a multiple of 5 up to 10 minutes back; of 30 up to an hour
   */
  read(series: number, options: { readonly untilMs: number; readonly steps: number; readonly stepSeconds: number }): Float64Array {
    const { untilMs, steps, stepSeconds } = options
    const fine = steps * stepSeconds <= (fineSlots * samplePeriodMs) / 1000
    const perStep = fine ? (stepSeconds * 1000) / samplePeriodMs : stepSeconds / coarseStepSeconds
    const newest = Math.floor(untilMs / (stepSeconds * 1000))
    const values = new Float64Array(steps)
    for (let at = 0; at < steps; at++) {
      const first = (newest - steps + 1 + at) * perStep
      let [sum, count] = [0, 0]
      for (let slot = first; slot < first + perStep; slot++) {
        const value = fine ? this.#fineAt(series, slot) : this.#coarseAt(series, slot)
        if (Number.isNaN(value)) continue
        sum += value
        count++
      }
      values[at] = count === 0 ? Number.NaN : sum / count
    }
    return values
  }

  #write(slot: number, values: readonly number[] | null): void {
    const base = (slot % fineSlots) * this.#series
    for (let at = 0; at < this.#series; at++) this.#fine[base + at] = values?.[at] ?? Number.NaN
  }

  /** Between the newest and this one nothing was heard. */
  #clearCoarse(slot: number): void {
    if (this.#slot < 0) return
    const [from, to] = [Math.floor(this.#slot / slotsPerCoarse) + 1, Math.floor(slot / slotsPerCoarse)]
    for (let passed = Math.max(from, to - coarseSlots + 1); passed <= to; passed++) this.#coarse.fill(Number.NaN, (passed % coarseSlots) * this.#series, ((passed % coarseSlots) + 1) * this.#series)
  }

  #average(coarse: number): void {
    for (let at = 0; at < this.#series; at++) {
      let [sum, count] = [0, 0]
      for (let slot = coarse * slotsPerCoarse; slot < (coarse + 1) * slotsPerCoarse; slot++) {
        const value = this.#fineAt(at, slot)
        if (Number.isNaN(value)) continue
        sum += value
        count++
      }
      this.#coarse[(coarse % coarseSlots) * this.#series + at] = count === 0 ? Number.NaN : sum / count
    }
  }

  #fineAt(series: number, slot: number): number {
    if (slot > this.#slot || slot <= this.#slot - fineSlots || slot < 0) return Number.NaN
    return this.#fine[(slot % fineSlots) * this.#series + series] ?? Number.NaN
  }

  #coarseAt(series: number, slot: number): number {
    const newest = Math.floor(this.#slot / slotsPerCoarse)
    if (this.#slot < 0 || slot > newest || slot <= newest - coarseSlots || slot < 0) return Number.NaN
    return this.#coarse[(slot % coarseSlots) * this.#series + series] ?? Number.NaN
  }
}
