// The clients of the chaos test: they write and read through all nodes at once, try again with the same key, and remember what they were told and when.
import { setTimeout as delay } from 'node:timers/promises'
import type { Operation } from '../history/linearizability.ts'
import type { IndexedRead } from '../history/indexed-reads.ts'
import type { CellInput, CellOutput, RegisterInput, RegisterOperation, RegisterOutput } from '../history/register.ts'
import type { SimRandom } from '../sim/sim-random.ts'
import { Api, type Answer } from './lab-api.ts'
import type { Lab } from './lab-runner.ts'

export type CellOperation = Operation<CellInput, CellOutput>
/** `unexpected`: answers that no client should ever get. */
export type History = { readonly registers: RegisterOperation[]; readonly cells: CellOperation[]; readonly reads: IndexedRead[]; readonly unexpected: string[] }
export const emptyHistory = (): History => ({ registers: [], cells: [], reads: [], unexpected: [] })

/** Projects and users with one label `value`: registers with a revision. */
const lasting = ['projects/reg-0', 'projects/reg-1', 'projects/reg-2', 'users/reg-3'] as const
/** Projects that come and go. */
const passing = ['projects/eph-0', 'projects/eph-1'] as const
/** Resources of which each client writes a label of its own. */
const sharedByAll = ['projects/cells', 'users/cells', 'vms/cells', 'nodes/node2'] as const
const createBodies: Readonly<Record<string, object>> = {
  projects: {},
  users: { password: 'correct horse battery 7', spec: { bindings: [] } },
  vms: { spec: { cpus: 1, memoryMiB: 128, disks: [], nics: [], runState: 'stopped' } },
}
const attemptMs = 4000
const patienceMs = 20_000

type Fate =
  | { readonly kind: 'answered'; readonly output: RegisterOutput; readonly index: number | null; readonly body: unknown }
  | { readonly kind: 'notDone' }
  | { readonly kind: 'unknown' }
type Write = { readonly method: string; readonly path: string; readonly body?: object; readonly headers?: Readonly<Record<string, string>> }

/** One clock for all clients, in microseconds. */
const now = (): number => Math.round(performance.now() * 1000)

export class ChaosClient {
  readonly #name: string
  readonly #lab: Lab
  readonly #api: Api
  readonly #random: SimRandom
  readonly #history: History
  readonly #lifeOf: (node: string) => string
  readonly #isMember: (node: string) => boolean
  #values = 0
  #keys = 0
  /** Newest revisions that it was told of. */
  readonly #known = new Map<string, number>()
  #newestIndex = 0

  constructor(name: string, options: { readonly lab: Lab; readonly random: SimRandom; readonly history: History; readonly lifeOf: (node: string) => string; readonly isMember: (node: string) => boolean }) {
    this.#name = name
    this.#lab = options.lab
    this.#api = new Api(options.lab)
    this.#random = options.random
    this.#history = options.history
    this.#lifeOf = options.lifeOf
    this.#isMember = options.isMember
  }

  /** Makes what all clients work on. Before any fault. */
  async prepare(): Promise<void> {
    for (const register of lasting) await this.#write(register, { kind: 'create', register, value: this.#value() })
    for (const path of sharedByAll.slice(0, 3)) {
      const [noun = '', name] = path.split('/')
      await this.#api.expect(201, 'node1', 'POST', `/api/v1/${noun}`, { body: { name, ...createBodies[noun] } })
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#act()
      await delay(this.#random.between(5, 120))
    }
  }

  /** Reads everything at these nodes, linearizable: what was acknowledged has to be there. */
  async readAll(nodes: readonly string[]): Promise<void> {
    for (const node of nodes) {
      for (const register of [...lasting, ...passing]) await this.#read(node, register, { consistent: true })
      for (const path of sharedByAll) await this.#readCells(node, path)
    }
  }

  async #act(): Promise<void> {
    const what = this.#random.integer(100)
    const register = this.#random.pick(lasting)
    const node = this.#anyNode()
    if (what < 20) return await this.#write(register, { kind: 'write', register, value: this.#value(), ifMatch: null })
    if (what < 40) return await this.#compareAndSet(node, register)
    if (what < 55) return await this.#read(node, register, { consistent: true })
    if (what < 65) return await this.#read(node, register, { consistent: false })
    if (what < 70) return await this.#read(node, register, { consistent: false, minIndex: this.#newestIndex })
    if (what < 80) return await this.#writeCell(this.#random.pick(sharedByAll))
    if (what < 85) return await this.#readCells(node, this.#random.pick(sharedByAll))
    await this.#passing(node, this.#random.pick(passing))
  }

  async #passing(node: string, register: string): Promise<void> {
    const kind = this.#random.pick(['create', 'create', 'write', 'delete', 'read', 'read'] as const)
    if (kind === 'read') return await this.#read(node, register, { consistent: true })
    await this.#write(register, kind === 'delete' ? { kind, register, ifMatch: null } : kind === 'create' ? { kind, register, value: this.#value() } : { kind, register, value: this.#value(), ifMatch: null })
  }

  /** With a revision that it knows, or one that it reads first. */
  async #compareAndSet(node: string, register: string): Promise<void> {
    if (!this.#known.has(register) || this.#random.chance(0.8)) await this.#read(node, register, { consistent: this.#random.chance(0.5) })
    const revision = this.#known.get(register)
    if (revision !== undefined) await this.#write(register, { kind: 'write', register, value: this.#value(), ifMatch: revision })
  }

  async #write(register: string, input: Exclude<RegisterInput, { kind: 'read' }>): Promise<void> {
    const call = now()
    const fate = await this.#insist(requestOf(register, input))
    const end = now()
    if (fate.kind !== 'answered') {
      this.#history.registers.push({ client: this.#name, input, call, return: fate.kind === 'unknown' ? null : end, output: fate.kind === 'unknown' ? null : { kind: 'notDone' } })
      return
    }
    let { output } = fate
    // An answer that shows a later write shows its revision too.
    const shown = output.kind === 'done' && input.kind !== 'delete' ? versionOf(fate.body) : null
    if (shown !== null && 'value' in input && shown.value === input.value) {
      output = { kind: 'done', revision: shown.revision }
      this.#known.set(register, shown.revision)
    }
    this.#newestIndex = Math.max(this.#newestIndex, fate.index ?? 0)
    this.#history.registers.push({ client: this.#name, input, call, return: end, output })
  }

  async #writeCell(path: string): Promise<void> {
    const value = this.#value()
    const call = now()
    const fate = await this.#insist({ method: 'PATCH', path: `/api/v1/${path}`, body: { labels: { [this.#name]: value } } })
    const output = fate.kind === 'notDone' ? 'notDone' : fate.kind === 'answered' && fate.output.kind === 'done' ? 'done' : null
    if (fate.kind === 'answered' && output === null) this.#history.unexpected.push(`${this.#name}: a label of ${path} was answered ${fate.output.kind}`)
    this.#history.cells.push({ client: this.#name, input: { cell: `${path} ${this.#name}`, value }, call, return: output === null ? null : now(), output: output === null ? null : { kind: output } })
  }

  async #readCells(node: string, path: string): Promise<void> {
    const call = now()
    const answer = await this.#call(node, 'GET', `/api/v1/${path}?consistent=true`)
    const end = now()
    if (answer.status !== 200) return this.#expectRefusal(answer, `read of ${path} at ${node}`)
    const { labels } = answer.body as { readonly labels: Readonly<Record<string, string>> }
    for (const name of clientNames) this.#history.cells.push({ client: this.#name, input: { cell: `${path} ${name}` }, call, return: end, output: { kind: 'found', value: labels[name] ?? null } })
  }

  async #read(node: string, register: string, { consistent, minIndex = null }: { readonly consistent: boolean; readonly minIndex?: number | null }): Promise<void> {
    const call = now()
    const life = this.#lifeOf(node)
    const answer = await this.#call(node, 'GET', `/api/v1/${register}${consistent ? '?consistent=true' : minIndex === null ? '' : `?minIndex=${minIndex}`}`)
    const end = now()
    if (answer.status !== 200 && answer.status !== 404) return this.#expectRefusal(answer, `read of ${register} at ${node}`)
    const found = answer.status === 404 ? null : versionOf(answer.body)
    if (consistent) {
      this.#history.registers.push({ client: this.#name, input: { kind: 'read', register }, call, return: end, output: found === null ? { kind: 'absent' } : { kind: 'found', ...found } })
    }
    if (found !== null) this.#known.set(register, found.revision)
    // An error carries no index.
    const index = Number(answer.headers['novacron-index'] ?? Number.NaN)
    if (Number.isInteger(index) && lasting.includes(register as never) && life === this.#lifeOf(node)) {
      this.#history.reads.push({ node, life, register, call, return: end, index, found, consistent, minIndex })
    }
  }

  /** Until somebody says what came of it, or patience ends. The same key every time: it is done once at most. */
  async #insist(write: Write): Promise<Fate> {
    this.#keys += 1
    const key = `chaos-${this.#name}-${this.#keys}`
    const deadline = now() + patienceMs * 1000
    let unsure = false
    for (let node = this.#anyNode(); now() < deadline; node = this.#anyNode()) {
      const answer = await this.#call(node, write.method, write.path, { ...write, headers: { ...write.headers, 'idempotency-key': key } })
      const fate = this.#fateOf(answer, `${write.method} ${write.path} at ${node}`)
      // What an earlier attempt may yet do is not undone by the refusal of a later one, unless its condition has failed for good.
      if (fate.kind === 'answered') return unsure && (fate.output.kind === 'absent' || fate.output.kind === 'taken') ? { kind: 'unknown' } : fate
      if (fate.kind === 'unknown') unsure = true
      await delay(this.#random.between(20, 300))
    }
    return { kind: unsure ? 'unknown' : 'notDone' }
  }

  #fateOf(answer: Answer, what: string): Fate {
    const { status, body, headers } = answer
    const index = headers['novacron-index'] === undefined ? null : Number(headers['novacron-index'])
    const answered = (output: RegisterOutput): Fate => ({ kind: 'answered', output, index, body })
    switch (codeOf(answer)) {
      case 'OK':
        return answered({ kind: 'done', revision: null })
      case 'NOT_FOUND':
        return answered({ kind: 'absent' })
      case 'NAME_TAKEN':
        return answered({ kind: 'taken' })
      case 'PRECONDITION_FAILED':
        return answered({ kind: 'stale' })
      case 'NO_QUORUM':
      case 'OVERLOADED':
      case 'REFUSED':
        return { kind: 'notDone' }
      case 'NOTHING':
      case 'OUTCOME_UNKNOWN':
        return { kind: 'unknown' }
      default:
        this.#history.unexpected.push(`${this.#name}: ${what}: ${status} ${answer.text.slice(0, 300)}`)
        return { kind: 'unknown' }
    }
  }

  #expectRefusal(answer: Answer, what: string): void {
    const code = codeOf(answer)
    if (!['NO_QUORUM', 'OVERLOADED', 'OUTCOME_UNKNOWN', 'REFUSED', 'NOTHING'].includes(code)) this.#history.unexpected.push(`${this.#name}: ${what}: ${answer.status} ${answer.text.slice(0, 300)}`)
  }

  async #call(node: string, method: string, path: string, options: { readonly body?: object; readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Answer> {
    const { body, headers } = options
    const answer = await this.#api.call(node, method, path, { keep: true, timeoutMs: attemptMs, ...(body === undefined ? {} : { body }), ...(headers === undefined ? {} : { headers }) })
    // Of a host that is in no cluster nobody can know anything.
    return answer.status === 401 && !this.#isMember(node) ? { ...answer, status: 0, text: 'ECONNREFUSED: in no cluster' } : answer
  }

  #anyNode(): string {
    return this.#random.pick(this.#lab.report?.nodes ?? []).name
  }

  #value(): string {
    this.#values += 1
    return `${this.#name}-${this.#values}`
  }
}

export const clientNames = Array.from({ length: 8 }, (_, at) => `c${at}`)

function requestOf(register: string, input: Exclude<RegisterInput, { kind: 'read' }>): Write {
  const [noun = '', name = ''] = register.split('/')
  const condition = 'ifMatch' in input && input.ifMatch !== null ? { headers: { 'if-match': `"${input.ifMatch}"` } } : {}
  switch (input.kind) {
    case 'create':
      return { method: 'POST', path: `/api/v1/${noun}`, body: { ...createBodies[noun], name, labels: { value: input.value } } }
    case 'write':
      return { method: 'PATCH', path: `/api/v1/${register}`, body: { labels: { value: input.value } }, ...condition }
    case 'delete':
      return { method: 'DELETE', path: `/api/v1/${register}`, ...condition }
  }
}

function versionOf(body: unknown): { readonly value: string; readonly revision: number } | null {
  const { labels, revision } = (body ?? {}) as { readonly labels?: { readonly value?: string }; readonly revision?: number }
  return labels?.value === undefined || revision === undefined ? null : { value: labels.value, revision }
}

/** The problem's code; OK; REFUSED: there was nobody to take it; NOTHING: no answer. */
function codeOf({ status, text, body }: Answer): string {
  if (status >= 200 && status < 300) return 'OK'
  if (status === 0) return /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/.test(text) ? 'REFUSED' : 'NOTHING'
  return (body as { readonly code?: string } | undefined)?.code ?? String(status)
}
