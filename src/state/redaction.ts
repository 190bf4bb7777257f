// Takes secrets out of records and commands, so that what is left can still be applied: equal secrets become equal placeholders.

/**
 * By the name of the field, as it is called in any record or command; a new secret that is called like one is caught by the pattern. Text for guests may
 * hold passwords, an address may hold a signature, and the hash of a request's body would let its password be guessed.
 */
const secretFields: ReadonlySet<string> = new Set(['userData', 'networkConfig', 'url', 'bodyHash'])
const secretPattern = /(?:password|secret|sealed|wrapped|private|passphrase|credential)/i

/** Strings only: numbers, as when a password was changed, are no secrets. */
export function isSecretField(name: string): boolean {
  return secretFields.has(name) || secretPattern.test(name)
}

export class Redactor {
  readonly #placeholders = new Map<string, string>()

  /** The same value where there is nothing to take out of it; never changes its argument. */
  redact<Value>(value: Value): Value {
    return this.#walk(value, false) as Value
  }

  get count(): number {
    return this.#placeholders.size
  }

  #walk(value: unknown, isSecret: boolean): unknown {
    if (typeof value === 'string') return isSecret && value !== '' ? this.#placeholder(value) : value
    if (typeof value !== 'object' || value === null) return value
    let changed = false
    const walked = (part: unknown, secret: boolean): unknown => {
      const next = this.#walk(part, secret)
      changed ||= next !== part
      return next
    }
    const copy = Array.isArray(value)
      ? value.map((part) => walked(part, isSecret))
      : Object.fromEntries(Object.entries(value).map(([name, part]) => [name, walked(part, isSecret || isSecretField(name))]))
    return changed ? copy : value
  }

  #placeholder(secret: string): string {
    const known = this.#placeholders.get(secret) ?? `redacted:${this.#placeholders.size + 1}`
    this.#placeholders.set(secret, known)
    return known
  }
}
