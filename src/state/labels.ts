// Labels changed by an update: merged where it is applied, so that of two people who change different labels at once neither undoes the other's.
import { fieldErrorsOf } from '../model/field-error.ts'
import { labelsSchema } from '../model/id.ts'
import type { Labels } from '../model/resource.ts'
import { mergePatch } from './merge-patch.ts'
import { Refusal } from './transaction.ts'

type LabelChange = { readonly labels?: Labels | undefined; readonly labelPatch?: Readonly<Record<string, string | null>> | undefined }

/** @throws Refusal INVALID where there would be too many */
export function changedLabels(former: Labels, { labels, labelPatch }: LabelChange): Labels {
  if (labelPatch === undefined) return labels ?? former
  const parsed = labelsSchema.safeParse(mergePatch(labels ?? former, labelPatch))
  if (!parsed.success) throw new Refusal('INVALID', 'The change would make the labels invalid.', fieldErrorsOf(parsed.error).map(({ path, message }) => ({ path: path === '' ? 'labels' : `labels.${path}`, message })))
  return parsed.data
}
