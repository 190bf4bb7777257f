// Parts of a page that its reader may not see are left out, where an error would take the whole page.
import type { Page } from '../../app/face.ts'
import { OperationalError } from '../../model/error.ts'

/** Null for what its reader may not see. */
export function permitted<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'FORBIDDEN') return null
    throw error
  }
}

/** An empty page for a list that its reader may not see. */
export function permittedList<T>(read: () => Page<T>): Page<T> {
  return permitted(read) ?? { items: [], next: null, total: 0 }
}
