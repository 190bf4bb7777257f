// The numbered keyspaces of our LevelDB databases. Append only: a number's meaning never changes.

/** In the state's database: the head, and records by generation, table and id. */
export const stateKeyspaces = { head: '00', record: '01' } as const
/** In the local database: the head, and values by key. */
export const localKeyspaces = { head: '00', value: '01' } as const

/** All keys that begin with `prefix`, as a range. */
export function rangeOf(prefix: string): { readonly gte: string; readonly lt: string } {
  const last = prefix.charCodeAt(prefix.length - 1)
  return { gte: prefix, lt: prefix.slice(0, -1) + String.fromCharCode(last + 1) }
}
