// The table of nouns: where each one's list lies and which columns people see; `list` and `show` are made of it.
import { InvalidArgumentError, type Command } from 'commander'
import { usageFailure } from './io.ts'
import { renderAge, renderBytes, renderDetails, renderJson, renderTable, styleOf, textAt, valueAt, type Cell } from './output.ts'
import { withExample, withJson, type Shell } from './shell.ts'

type Column = {
  readonly title: string
  readonly cell: (item: unknown, nowMs: number) => string
  /** The word decides the colour. */
  readonly state?: true
  /** Only with `-o wide`. */
  readonly wide?: true
}

export type Noun = {
  readonly name: string
  readonly plural: string
  readonly path: string
  readonly columns: readonly Column[]
  /** Examples of a filter and a sort key, for the help. */
  readonly hints: { readonly filter: string; readonly sort: string; readonly ref: string }
  /** False where there is nothing to show beyond the list. */
  readonly show: boolean
}

const field = (title: string, ...path: readonly (string | number)[]): Column => ({ title, cell: (item) => textAt(item, ...path) })
const state = (title: string, ...path: readonly (string | number)[]): Column => ({ ...field(title, ...path), state: true })
const wide = (column: Column): Column => ({ ...column, wide: true })
const age = (title: string, ...path: readonly (string | number)[]): Column => ({ title, cell: (item, nowMs) => renderAge(valueAt(item, ...path), nowMs) })
const bytes = (title: string, ...path: readonly (string | number)[]): Column => ({ title, cell: (item) => renderSize(valueAt(item, ...path), 1) })
const mebibytes = (title: string, ...path: readonly (string | number)[]): Column => ({ title, cell: (item) => renderSize(valueAt(item, ...path), 1024 ** 2) })
const milliseconds = (title: string, ...path: readonly (string | number)[]): Column => ({ title, cell: (item) => (textAt(item, ...path) === '' ? '' : `${textAt(item, ...path)} ms`) })
const id = wide(field('ID', 'id'))
const labels = wide(field('LABELS', 'labels'))

/** "draining", "drained", or "drained but for 2 VMs". */
function drainWords(node: unknown): readonly string[] {
  const condition = listAt(node, 'status', 'conditions').find((each) => ['Draining', 'Drained'].includes(textAt(each, 'type')))
  if (condition === undefined) return []
  if (textAt(condition, 'type') === 'Draining') return ['draining']
  const vms = textAt(node, 'status', 'allocated', 'vms')
  return [textAt(condition, 'status') === 'true' ? 'drained' : `drained but for ${vms} ${vms === '1' ? 'VM' : 'VMs'}`]
}

function renderSize(value: unknown, unit: number): string {
  return typeof value === 'number' ? renderBytes(value * unit) : ''
}

export const nouns = {
  vm: {
    name: 'vm', plural: 'VMs', path: '/api/v1/vms', show: true, hints: { filter: 'phase:running node:node1', sort: '-memory', ref: 'web' },
    columns: [
      field('NAME', 'name'), state('PHASE', 'status', 'phase'), field('NODE', 'status', 'node'), field('CPUS', 'spec', 'cpus'), mebibytes('MEMORY', 'spec', 'memoryMiB'),
      field('ADDRESSES', 'status', 'addresses'), age('AGE', 'status', 'createdAt'),
      wide({ title: 'DISKS', cell: (vm) => listAt(vm, 'spec', 'disks').map((disk) => [textAt(disk, 'name'), textAt(disk, 'sizeGiB'), textAt(disk, 'image')].join(':')).join(',') }),
      wide(field('PROJECT', 'project')), wide(field('EPOCH', 'status', 'epoch')), wide(field('MESSAGE', 'status', 'message')), id, labels,
    ],
  },
  node: {
    name: 'node', plural: 'nodes', path: '/api/v1/nodes', show: true, hints: { filter: 'ready:true', sort: 'name', ref: 'node1' },
    columns: [
      field('NAME', 'name'), state('ROLE', 'status', 'role'), state('READY', 'status', 'ready'), { title: 'SCHEDULABLE', cell: (node) => [textAt(node, 'spec', 'schedulable'), ...drainWords(node)].join(', ') },
      { title: 'VMS', cell: (node) => `${textAt(node, 'status', 'allocated', 'vmsRunning')}/${textAt(node, 'status', 'allocated', 'vms')}` },
      field('CPUS', 'status', 'capacity', 'cpus'), mebibytes('MEMORY', 'status', 'capacity', 'memoryMiB'), field('ADDRESSES', 'status', 'addresses'), field('VERSION', 'status', 'version'),
      wide(field('ACCELERATOR', 'status', 'accelerator')), wide(field('HYPERVISOR', 'status', 'hypervisor')), wide(field('URL', 'status', 'url')), wide(field('REASON', 'status', 'reason')), id, labels,
    ],
  },
  image: {
    name: 'image', plural: 'images', path: '/api/v1/images', show: true, hints: { filter: 'format:qcow2', sort: '-size', ref: 'tiny' },
    columns: [
      field('NAME', 'name'), field('FORMAT', 'spec', 'format'), bytes('SIZE', 'spec', 'sizeBytes'), bytes('DISK', 'spec', 'virtualSizeBytes'), 
      { title: 'COPIES', cell: (image) => `${listAt(image, 'status', 'nodes').length}/${textAt(image, 'status', 'copiesWanted') || '-'}` }, field('NODES', 'status', 'nodes'),
      field('VMS', 'status', 'usedBy', 'count'), wide(field('USES', 'status', 'uses')), age('AGE', 'status', 'createdAt'), wide(field('OS', 'spec', 'os')), wide(field('SHA256', 'spec', 'sha256')), id, labels,
    ],
  },
  operation: {
    name: 'operation', plural: 'operations', path: '/api/v1/operations', show: true, hints: { filter: 'state:failed', sort: '-created', ref: '01890a5d-ac96-774b-bcce-000000000001' },
    columns: [
      field('ID', 'id'), field('OPERATION', 'spec', 'operation'), field('TARGET', 'spec', 'target', 'name'), state('STATE', 'status', 'state'), field('NODE', 'status', 'node'),
      field('ACTOR', 'status', 'actor'), age('AGE', 'status', 'startedAt'), field('ERROR', 'status', 'error', 'code'), wide(field('MESSAGE', 'status', 'error', 'message')),
    ],
  },
  migration: {
    name: 'migration', plural: 'migrations', path: '/api/v1/migrations', show: true, hints: { filter: 'vm:web outcome:done', sort: '-ended', ref: '01890a5d-ac96-774b-bcce-000000000001' },
    columns: [
      field('VM', 'spec', 'vm', 'name'), field('FROM', 'spec', 'from', 'name'), field('TO', 'spec', 'to', 'name'), field('LIVE', 'spec', 'live'), state('OUTCOME', 'status', 'outcome'),
      bytes('MOVED', 'status', 'bytes'), milliseconds('DURATION', 'status', 'durationMs'), milliseconds('DOWNTIME', 'status', 'downtimeMs'), field('ACTOR', 'status', 'actor'), age('AGE', 'status', 'endedAt'),
      wide(field('REASON', 'status', 'reason')), id,
    ],
  },
  event: {
    name: 'event', plural: 'events', path: '/api/v1/events', show: false, hints: { filter: 'kind:vm', sort: '-id', ref: '' },
    columns: [
      field('TIME', 'at'), field('KIND', 'kind'), field('NAME', 'name'), field('REASON', 'reason'), field('MESSAGE', 'message'), field('ACTOR', 'actor'),
      wide(field('ID', 'id')), wide(field('RESOURCE', 'resourceId')), wide(field('COMMAND', 'commandId')),
    ],
  },
  audit: {
    name: 'audit', plural: 'audit records', path: '/api/v1/audit', show: false, hints: { filter: 'outcome:refused since:24h', sort: '-at', ref: '' },
    columns: [
      field('TIME', 'at'), field('ACTOR', 'actor'), field('COMMAND', 'command'), field('TARGET', 'target'), state('OUTCOME', 'outcome'), field('CODE', 'code'),
      field('ADDRESS', 'address'), wide(field('DETAIL', 'detail')), wide(field('NODE', 'node')), wide(field('INDEX', 'id')),
    ],
  },
  user: {
    name: 'user', plural: 'users', path: '/api/v1/users', show: true, hints: { filter: 'anna', sort: 'name', ref: 'anna' },
    columns: [
      field('NAME', 'name'), field('DISPLAY', 'spec', 'displayName'),
      { title: 'ROLES', cell: (user) => listAt(user, 'spec', 'bindings').map((binding) => `${textAt(binding, 'role')}@${textAt(binding, 'scope')}`).join(',') },
      field('DISABLED', 'spec', 'disabled'), age('SEEN', 'status', 'lastSeenAt'), age('AGE', 'status', 'createdAt'), id, labels,
    ],
  },
  role: {
    name: 'role', plural: 'role bindings', path: '/api/v1/roles', show: true, hints: { filter: 'role:operator', sort: 'subject', ref: 'anna-operator-cluster' },
    columns: [field('NAME', 'name'), field('SUBJECT', 'spec', 'subject', 'name'), field('ROLE', 'spec', 'role'), field('SCOPE', 'spec', 'scope'), id],
  },
  project: {
    name: 'project', plural: 'projects', path: '/api/v1/projects', show: true, hints: { filter: 'shop', sort: 'name', ref: 'shop' },
    columns: [field('NAME', 'name'), field('DESCRIPTION', 'spec', 'description'), field('VMS', 'status', 'vms'), field('IMAGES', 'status', 'images'), age('AGE', 'status', 'createdAt'), id, labels],
  },
  session: {
    name: 'session', plural: 'sessions', path: '/api/v1/sessions', show: false, hints: { filter: 'user:anna', sort: '-seen', ref: '01890a5d-ac96-774b-bcce-000000000002' },
    columns: [
      field('ID', 'id'), field('USER', 'user'), field('ADDRESS', 'address'), field('AGENT', 'agent'), age('SINCE', 'startedAt'), age('SEEN', 'lastSeenAt'), field('CURRENT', 'current'),
      wide(field('NODE', 'node')), wide(field('EXPIRES', 'expiresAt')),
    ],
  },
  token: {
    name: 'token', plural: 'API tokens', path: '/api/v1/tokens', show: true, hints: { filter: 'ci', sort: '-created', ref: 'ci' },
    columns: [
      field('NAME', 'name'), field('USER', 'status', 'user'), age('AGE', 'status', 'createdAt'), field('EXPIRES', 'status', 'expiresAt'), age('USED', 'status', 'lastUsedAt'),
      { title: 'ROLES', cell: (token) => listAt(token, 'spec', 'bindings').map((binding) => `${textAt(binding, 'role')}@${textAt(binding, 'scope')}`).join(',') },
      { title: 'REVOKED', cell: (token) => (valueAt(token, 'status', 'revoked') === true ? 'revoked' : 'no'), state: true }, id,
    ],
  },
} as const satisfies Readonly<Record<string, Noun>>

export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const list = valueAt(value, ...path)
  return Array.isArray(list) ? list : []
}

/** The path of one of a noun, by name or id. */
export function pathOf(noun: Noun, ref: string): string {
  if (ref === '' || ref === '.' || ref === '..') throw usageFailure(`'${ref}' is no name or id.`)
  return `${noun.path}/${encodeURIComponent(ref)}`
}

export function renderItems(noun: Noun, items: readonly unknown[], options: { readonly wide: boolean; readonly colours: boolean }): string {
  const nowMs = Date.now()
  const columns: readonly Column[] = noun.columns.filter((column: Column) => options.wide || column.wide !== true)
  const rows = items.map((item) => columns.map((column): Cell => {
    const text = column.cell(item, nowMs)
    return column.state === true ? { text, style: styleOf(text) } : { text }
  }))
  return renderTable(columns.map((column) => column.title), rows, options.colours)
}

type ListOptions = { readonly filter?: string; readonly sort?: string; readonly limit?: number; readonly after?: string; readonly all?: true; readonly output?: string }

/** Adds `list` to a noun's command. */
export function registerList(parent: Command, noun: Noun, shell: Shell): void {
  const list = parent
    .command('list').alias('ls')
    .description(`List ${noun.plural}`)
    .option('--filter <words>', `as '${noun.hints.filter}'`)
    .option('--sort <field>', `as '${noun.hints.sort}'; - in front for descending`)
    .option('--limit <n>', 'items of a page, 1-1000 (100)', integerBetween(1, 1000))
    .option('--after <cursor>', 'go on after a page: its "next"')
    .option('--all', 'all pages')
    .option('-o, --output <form>', 'table, wide or json')
    .action(async (options: ListOptions) => {
      const form = requireForm(options.output)
      const page = await readPages(noun, options, shell)
      if (form === 'json') shell.io.stdout.write(renderJson(page))
      else shell.answer(page, () => renderItems(noun, page.items, { wide: form === 'wide', colours: shell.colours }))
      if (page.next !== null) shell.progress(`${page.items.length} of ${page.total} ${noun.plural}; --all shows the rest`)
    })
  withExample(withJson(list), `novacron ${noun.name} list`, `novacron ${noun.name} list --filter '${noun.hints.filter}' --sort ${noun.hints.sort} -o wide`)
}

function requireForm(form: string | undefined): 'table' | 'wide' | 'json' {
  if (form === undefined || form === 'table') return 'table'
  if (form === 'wide' || form === 'json') return form
  throw usageFailure(`-o takes table, wide or json, not '${form}'.`)
}

type Page = { readonly items: readonly unknown[]; readonly next: string | null; readonly total: number }
/** A list that grows as fast as it is read ends here. */
const pagesMax = 10_000

export async function readPages(noun: Noun, options: ListOptions, shell: Shell): Promise<Page> {
  const items: unknown[] = []
  let after = options.after ?? null
  for (let pages = 0; pages < pagesMax; pages++) {
    const body = await shell.client().get(noun.path, {
      ...(options.filter === undefined ? {} : { filter: options.filter }),
      ...(options.sort === undefined ? {} : { sort: options.sort }),
      ...(options.limit === undefined ? (options.all === true ? { limit: '1000' } : {}) : { limit: String(options.limit) }),
      ...(after === null ? {} : { after }),
    })
    items.push(...listAt(body, 'items'))
    const next = valueAt(body, 'next')
    after = typeof next === 'string' ? next : null
    const total = valueAt(body, 'total')
    if (after === null || options.all !== true) return { items, next: after, total: typeof total === 'number' ? total : items.length }
  }
  return { items, next: after, total: items.length }
}

/** Adds `show` to a noun's command. */
export function registerShow(parent: Command, noun: Noun, shell: Shell): void {
  const show = parent
    .command('show <name>')
    .description(`Show one of the ${noun.plural}, by name or id`)
    .action(async (ref: string) => {
      const item = await shell.client().get(pathOf(noun, ref))
      shell.answer(item, () => renderDetails(item))
    })
  withExample(withJson(show), `novacron ${noun.name} show ${noun.hints.ref}`)
}

/** A parser of whole numbers for options. */
export function integerBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most)) throw new InvalidArgumentError(`It takes a whole number from ${least} to ${most}.`)
    return value
  }
}

/** `k=v`, again and again. */
export function collectLabel(text: string, former: Readonly<Record<string, string | null>> = {}): Readonly<Record<string, string | null>> {
  const at = text.indexOf('=')
  if (at > 0) return { ...former, [text.slice(0, at)]: text.slice(at + 1) }
  if (at === -1 && text.length > 1 && text.endsWith('-')) return { ...former, [text.slice(0, -1)]: null }
  throw new InvalidArgumentError('A label is key=value; key- takes it away.')
}
