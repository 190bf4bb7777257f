// A lab for end-to-end tests: runs the `novacron` command as a person would, and asks the machine itself what is true.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'

const program = join(import.meta.dirname, '..', '..', 'novacron')

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string; readonly ms: number }

/** Runs a program; ends when it exited **and** nobody holds its output any more. After `timeoutMs` it is killed, code 137. */
export async function run(command: readonly string[], options: { readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {}): Promise<Ran> {
  const startedMs = performance.now()
  const [first = '', ...args] = command
  const child = spawn(first, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env } })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.on('error', reject).on('close', (code) => resolve(code ?? 137))
  const timer = setTimeout(() => {
    child.kill('SIGKILL')
    // Whoever inherited the output would hold it for ever.
    child.stdout.destroy()
    child.stderr.destroy()
  }, options.timeoutMs ?? 60_000)
  const code = await promise
  clearTimeout(timer)
  return { code, stdout, stderr, ms: performance.now() - startedMs }
}

/** Runs `novacron …`. */
export async function novacron(args: readonly string[], options: Parameters<typeof run>[1] = {}): Promise<Ran> {
  return await run([program, ...args], options)
}

const reportSchema = z.strictObject({
  dir: z.string(),
  caFile: z.string(),
  token: z.string().min(1),
  nodes: z.array(z.strictObject({ name: z.string(), url: z.url(), address: z.ipv4(), pid: z.number().int(), dataDir: z.string() })),
})
export type Report = z.infer<typeof reportSchema>

/** The last line of `lab up`. */
export function parseReport(stdout: string): Report {
  return reportSchema.parse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''))
}

const statusSchema = z.object({
  id: z.string(),
  partition: z.array(z.array(z.string())),
  nodes: z.array(z.object({ name: z.string(), power: z.enum(['on', 'off']), pid: z.number().nullable(), libvirtPid: z.number().nullable(), healthy: z.boolean(), ready: z.boolean() })),
})

export class Lab {
  readonly dir: string
  report: Report | undefined

  constructor(dir: string = join(mkdtempSync(join(tmpdir(), 'nc-')), 'lab')) {
    this.dir = dir
  }

  /** `lab up`, which must succeed. */
  /** @param joined how many of them form the cluster */
  async up(nodes?: number, joined?: number): Promise<Report> {
    const ran = await novacron(['lab', 'up', '--dir', this.dir, ...(nodes === undefined ? [] : ['--nodes', String(nodes)]), ...(joined === undefined ? [] : ['--join', String(joined)])], { timeoutMs: 420_000 })
    if (ran.code !== 0) throw new Error(`lab up failed: ${ran.stderr}`)
    this.report = parseReport(ran.stdout)
    return this.report
  }

  /** `lab VERB… --dir DIR`; whatever its exit code. */
  async run(...args: readonly string[]): Promise<Ran> {
    const [verb = '', ...rest] = args
    return await novacron(['lab', verb, '--dir', this.dir, ...rest], { timeoutMs: 90_000 })
  }

  async status(): Promise<z.infer<typeof statusSchema>> {
    return statusSchema.parse(JSON.parse((await this.run('status', '--json')).stdout))
  }

  node(name: string): Report['nodes'][number] {
    const found = this.report?.nodes.find((node) => node.name === name)
    if (found === undefined) throw new Error(`no node ${name}`)
    return found
  }

  /** Environment in which `novacron` talks to a node as administrator. */
  env(name: string): NodeJS.ProcessEnv {
    return { NOVACRON_URL: this.node(name).url, NOVACRON_TOKEN: this.report?.token ?? '', NOVACRON_CA: this.report?.caFile ?? '' }
  }

  /** GET by the lab's CA with the administrator's token. Status 0 without an answer. */
  async get(name: string, path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    const { promise, resolve } = Promise.withResolvers<{ status: number; body: unknown }>()
    const nothing = { status: 0, body: undefined }
    const call = request(
      `${this.node(name).url}${path}`,
      { agent: false, ca: readFileSync(this.report?.caFile ?? ''), headers: { accept: 'application/json', authorization: `Bearer ${this.report?.token ?? ''}` }, timeout: 5000 },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parseJson(text) }))
        response.on('error', () => resolve(nothing))
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer')))
    call.on('error', () => resolve(nothing))
    call.end()
    return await promise
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Asks again until `condition` holds. @throws after `timeoutMs`, with what `tell` says of how things stand then */
export async function eventually(what: string, timeoutMs: number, condition: () => Promise<boolean> | boolean, tell?: () => Promise<string>): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}${tell === undefined ? '' : `; ${await tell()}`}`)
    await delay(100)
  }
}

/** Living processes (no zombies) whose command line or network namespace belongs to the directory's lab. */
export function processesOfLab(dir: string, id: string): readonly string[] {
  const namespaces = new Set(labNamespaceInodes(id))
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        const inside = namespaces.has(readlinkSync(`/proc/${pid}/ns/net`))
        return command !== '' && (inside || command.includes(dir)) ? [`${pid} ${command}`] : []
      } catch {
        return []
      }
    })
}

function labNamespaceInodes(id: string): readonly string[] {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
  return pids.flatMap((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`nc-${id}`) ? [readlinkSync(`/proc/${pid}/ns/net`)] : []
    } catch {
      return []
    }
  }).filter((namespace) => namespace !== readlinkSync('/proc/self/ns/net'))
}

/** Named network namespaces, links and mounts of this machine that carry the lab's id or directory. */
export async function remainsOfLab(dir: string, id: string): Promise<readonly string[]> {
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.includes(id)) : []
  const links = (await run(['ip', '-o', 'link'])).stdout.split('\n').filter((line) => line.includes(`nc${id}`))
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n').filter((line) => line.includes(id) || line.includes(dir))
  return [...namespaces, ...links, ...mounts, ...processesOfLab(dir, id)]
}
