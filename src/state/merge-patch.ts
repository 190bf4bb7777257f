// JSON merge patch, RFC 7386.

/** Returns `target` with `patch` merged in: null deletes a member, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const key of Object.keys(patch)) {
    const value = (patch as Readonly<Record<string, unknown>>)[key]
    if (value !== null) define(merged, key, mergePatch(Object.hasOwn(merged, key) ? merged[key] : undefined, value))
    else delete merged[key]
  }
  return merged
}

/** A member named __proto__ is one like any other. */
function define(record: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(record, key, { value, enumerable: true, configurable: true, writable: true })
  else record[key] = value
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
