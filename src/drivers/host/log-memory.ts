// The last lines of the log, for a support bundle: the journal may be elsewhere, or gone.

/** Of text; the oldest lines go first. */
export const logMemoryBytesMax = 256 * 1024

export class LogMemory {
  #lines: string[] = []
  #bytes = 0
  /** Of the first line that is kept: shifting an array for each line would copy it. */
  #first = 0

  take(line: string): void {
    this.#lines.push(line.trimEnd())
    this.#bytes += line.length
    while (this.#bytes > logMemoryBytesMax && this.#first < this.#lines.length - 1) {
      this.#bytes -= (this.#lines[this.#first]?.length ?? 0) + 1
      this.#first += 1
    }
    if (this.#first <= this.#lines.length / 2) return
    this.#lines = this.#lines.slice(this.#first)
    this.#first = 0
  }

  /** The oldest first. */
  lines(): readonly string[] {
    return this.#lines.slice(this.#first)
  }
}
