// What was measured in the last hour, here and elsewhere, as far as this node heard of it: for eyes, never for safety.
import type { NodeFigures, VmSample } from '../model/metrics.ts'

/** Values of one series, oldest first, the last one of the step that `untilMs` is in; NaN is a gap. */
export type SeriesRings = { read(series: number, options: { readonly untilMs: number; readonly steps: number; readonly stepSeconds: number }): Float64Array }

/** Times are by `nowMs` of the history. */
export type NodeHistory = { readonly heardMs: number; readonly figures: NodeFigures; readonly rings: SeriesRings }
/** `nodeId` is empty while the VM is off. */
export type VmHistory = { readonly nodeId: string; readonly heardMs: number; readonly sample: VmSample; readonly rings: SeriesRings }

export interface History {
  /** Wall clock as it was at the start, going on without jumps. */
  nowMs(): number
  node(id: string): NodeHistory | null
  vm(id: string): VmHistory | null
  nodeIds(): readonly string[]
  vmIds(): readonly string[]
}
