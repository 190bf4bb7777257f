// NovaCron's API as a client sees it, one register for each resource: a value (a label), and the revision that every write raises.
import { checkLinearizable, renderVerdict, type Model, type Operation, type Verdict } from './linearizability.ts'

/** Values are of one write each, so that what is read tells who wrote it. */
export type RegisterInput = { readonly register: string } & (
  | { readonly kind: 'read' }
  /** `ifMatch`: only if the revision is still this one. */
  | { readonly kind: 'write'; readonly value: string; readonly ifMatch: number | null; readonly seenAt?: number }
  /** `seenAt`, here and above: the revision that others saw this value at; `settle` finds it. */
  | { readonly kind: 'create'; readonly value: string; readonly seenAt?: number }
  | { readonly kind: 'delete'; readonly ifMatch: number | null }
)
export type RegisterOutput =
  /** Of a read. */
  | { readonly kind: 'found'; readonly value: string; readonly revision: number }
  /** Of a write: `revision` null if the answer already showed a later one. */
  | { readonly kind: 'done'; readonly revision: number | null }
  /** 404. */
  | { readonly kind: 'absent' }
  /** 409 to a create: the name is taken. */
  | { readonly kind: 'taken' }
  /** 412, 409: the revision is another. */
  | { readonly kind: 'stale' }
  /** 503 NO_QUORUM and the like: surely not done. */
  | { readonly kind: 'notDone' }

export type RegisterOperation = Operation<RegisterInput, RegisterOutput>
/** `revision` null: raised beyond `revisionMin` by a write whose revision nobody was told. */
export type RegisterState = { readonly value: string | null; readonly revision: number | null; readonly revisionMin: number }
type Step = { readonly ok: boolean; readonly state: RegisterState }

type Known = readonly [value: string, revision: number]
const unseen = '(unseen)'

/** @param seen values with their revisions that clients know from elsewhere, as by reads that are not in this history */
export function checkRegisters(model: ReturnType<typeof registerModel>, history: readonly RegisterOperation[], seen: readonly Known[] = []): { readonly verdict: Verdict<RegisterState, RegisterInput, RegisterOutput>; readonly text: string } {
  const verdict = checkLinearizable(model, settle(history, seen))
  return { verdict, text: renderVerdict(model, verdict) }
}

/**
 * Says of each write what anybody was told about its value: the revision, or that nobody saw it. Without this a write without an answer could stand for
 * any revision, and the search would try them all. A read without an answer is left out. Clients know revisions from this history and from `seen` only.
 */
export function settle(history: readonly RegisterOperation[], seen: readonly Known[] = []): readonly RegisterOperation[] {
  const revisions = new Map<string, number>(seen)
  for (const { input, output } of history) {
    if (output?.kind === 'found') revisions.set(output.value, output.revision)
    else if (output?.kind === 'done' && output.revision !== null && 'value' in input) revisions.set(input.value, output.revision)
  }
  return history.flatMap((operation) => {
    const { input, output } = operation
    if (input.kind === 'read' && output === null) return []
    if (!('value' in input) || (output?.kind === 'done' && output.revision !== null) || (output !== null && output.kind !== 'done')) return operation
    const seenAt = revisions.get(input.value)
    return { ...operation, input: seenAt === undefined ? { ...input, value: unseen } : { ...input, seenAt } }
  })
}

/** @param register what each register holds at first; null: it is absent */
export function registerModel(register: { readonly value: string; readonly revision: number } | null): Model<RegisterState, RegisterInput, RegisterOutput> {
  return {
    initial: () => (register === null ? { value: null, revision: 0, revisionMin: 0 } : { ...register, revisionMin: register.revision }),
    step,
    never,
    key: ({ value, revision, revisionMin }) => `${value === null ? '-' : `=${value}`} ${revision ?? '?'} ${revisionMin}`,
    partition: ({ register }) => register,
    showState: ({ value, revision, revisionMin }) => (value === null ? 'it absent' : `${value} at revision ${revision ?? `beyond ${revisionMin}`}`),
    showOperation: (input, output) => `${showInput(input)} → ${output === null ? 'no answer' : showOutput(output)}`,
  }
}

function step(state: RegisterState, input: RegisterInput, output: RegisterOutput | null): Step {
  if (output?.kind === 'notDone') return { ok: true, state }
  switch (input.kind) {
    case 'read':
      return stepRead(state, output)
    case 'write':
      if (output?.kind === 'stale' || output?.kind === 'absent') return { ok: refuses(state, input.ifMatch, output.kind), state }
      return state.value !== null && mayMatch(state, input.ifMatch) ? written(state, input, output) : { ok: false, state }
    case 'create':
      if (output?.kind === 'taken') return { ok: state.value !== null, state }
      return state.value === null ? written(state, input, output) : { ok: false, state }
    case 'delete':
      if (output?.kind === 'stale' || output?.kind === 'absent') return { ok: refuses(state, input.ifMatch, output.kind), state }
      return state.value !== null && mayMatch(state, input.ifMatch) && output?.kind !== 'taken' && output?.kind !== 'found' ? { ok: true, state: { ...state, value: null } } : { ok: false, state }
  }
}

/** A read whose answer nobody got tells nothing. */
function stepRead(state: RegisterState, output: RegisterOutput | null): Step {
  if (output === null) return { ok: false, state }
  if (output.kind === 'absent') return { ok: state.value === null, state }
  return { ok: output.kind === 'found' && output.value === state.value && output.revision === state.revision, state }
}

function written(state: RegisterState, { value, seenAt }: { readonly value: string; readonly seenAt?: number }, output: RegisterOutput | null): Step {
  if (output !== null && output.kind !== 'done') return { ok: false, state }
  const floor = state.revision ?? state.revisionMin
  const revision = output?.revision ?? seenAt ?? null
  if (revision === null) return { ok: true, state: { value, revision: null, revisionMin: floor } }
  return { ok: revision > floor, state: { value, revision, revisionMin: revision } }
}

/** Revisions only rise, and each is of one value. */
function never(state: RegisterState, input: RegisterInput, output: RegisterOutput): boolean {
  const gone = (revision: number) => (state.revision === null ? revision <= state.revisionMin : revision < state.revision)
  if (output.kind === 'found') return gone(output.revision) || (output.revision === state.revision && output.value !== state.value)
  if (output.kind !== 'done') return false
  const revision = output.revision ?? ('seenAt' in input ? input.seenAt : null) ?? null
  return (revision !== null && revision <= (state.revision ?? state.revisionMin)) || ('ifMatch' in input && input.ifMatch !== null && gone(input.ifMatch))
}

/** A revision that nobody was told, nobody can name. */
function mayMatch({ revision }: RegisterState, wished: number | null): boolean {
  return wished === null || wished === revision
}

function refuses({ value, revision }: RegisterState, ifMatch: number | null, kind: 'stale' | 'absent'): boolean {
  if (kind === 'absent') return value === null
  return value !== null && ifMatch !== null && ifMatch !== revision
}

function showInput(input: RegisterInput): string {
  const condition = 'ifMatch' in input && input.ifMatch !== null ? ` if at ${input.ifMatch}` : ''
  return `${input.kind} ${input.register}${'value' in input ? ` = ${input.value}` : ''}${condition}`
}

function showOutput(output: RegisterOutput): string {
  switch (output.kind) {
    case 'found':
      return `${output.value} at ${output.revision}`
    case 'done':
      return output.revision === null ? 'done' : `done at ${output.revision}`
    case 'notDone':
      return 'surely not done'
    case 'absent':
    case 'taken':
    case 'stale':
      return output.kind
  }
}

/** A label of its own on a resource that others write too: a value without a revision, which one client writes and all read. */
export type CellInput = { readonly cell: string; readonly value?: string }
/** A string is what was read, null that nothing is there. */
export type CellOutput = { readonly kind: 'done' | 'notDone' } | { readonly kind: 'found'; readonly value: string | null }

export const cellModel: Model<string | null, CellInput, CellOutput> = {
  initial: () => null,
  step(state, { value }, output) {
    if (output?.kind === 'notDone') return { ok: true, state }
    if (value !== undefined) return { ok: output?.kind !== 'found', state: value }
    return { ok: output?.kind === 'found' && output.value === state, state }
  },
  key: (state) => state ?? '-',
  partition: ({ cell }) => cell,
  showState: (state) => state ?? 'nothing',
  showOperation: ({ cell, value }, output) => `${value === undefined ? `read ${cell}` : `write ${cell} = ${value}`} → ${output === null ? 'no answer' : output.kind === 'found' ? (output.value ?? 'nothing') : output.kind}`,
}
