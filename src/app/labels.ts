// Labels changed by a merge patch: null takes one away.
import type { Labels } from '../model/resource.ts'

export function mergeLabels(former: Labels, patch: Readonly<Record<string, string | null>>): Labels {
  const merged: Record<string, string> = { ...former }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = value
  }
  return merged
}
