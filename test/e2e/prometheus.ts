// A real Prometheus from the distribution, for tests: scrapes the lab over TLS with a token, as an operator would set it up.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'

const readyTimeoutMs = 30_000
const answerSchema = z.object({ status: z.literal('success'), data: z.object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })) }) })

export type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number }
export type Prometheus = {
  /** The instant values of a PromQL query. */
  query(expression: string): Promise<readonly Sample[]>
  stop(): Promise<void>
}

/** @throws Error that says what is missing and how to get it */
export function requirePrometheus(): void {
  try {
    execFileSync('prometheus', ['--version'], { stdio: 'ignore' })
  } catch (cause) {
    throw new Error('Prometheus is not on this machine: nothing is scraped without it. On Debian and Ubuntu: apt-get install prometheus', { cause })
  }
}

/** @param config with TOKEN_FILE and CA_FILE for the two files */
export async function startPrometheus(options: { readonly config: string; readonly token: string; readonly caFile: string }): Promise<Prometheus> {
  requirePrometheus()
  const directory = mkdtempSync(join(tmpdir(), 'nc-prometheus-'))
  const tokenFile = join(directory, 'token')
  const configFile = join(directory, 'prometheus.yml')
  writeFileSync(tokenFile, options.token, { mode: 0o600 })
  writeFileSync(configFile, options.config.replaceAll('TOKEN_FILE', tokenFile).replaceAll('CA_FILE', options.caFile))
  execFileSync('promtool', ['check', 'config', configFile], { stdio: 'ignore' })
  const port = await freePort()
  let log = ''
  const child = spawn('prometheus', [`--config.file=${configFile}`, `--storage.tsdb.path=${join(directory, 'data')}`, `--web.listen-address=127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log = `${log}${text}`.slice(-4000)))
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }
    rmSync(directory, { recursive: true, force: true })
  }
  const base = `http://127.0.0.1:${port}`
  for (const deadlineMs = performance.now() + readyTimeoutMs; ; await delay(100)) {
    if ((await fetch(`${base}/-/ready`).catch(() => null))?.ok === true) break
    if (performance.now() < deadlineMs && child.exitCode === null) continue
    await stop()
    throw new Error(`Prometheus did not become ready: ${log}`)
  }
  return {
    stop,
    async query(expression) {
      const answer = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(expression)}`)
      const { data } = answerSchema.parse(await answer.json())
      return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The sample configuration of the documentation, for these targets and scraped more often. */
export function documentedConfig(targets: readonly string[], intervalSeconds: number): string {
  const docs = readFileSync(join(import.meta.dirname, '../../docs/monitoring.md'), 'utf8')
  const sample = /```yaml\n(# prometheus\.yml\n[\s\S]+?)```/.exec(docs)?.[1]
  if (sample === undefined) throw new Error('docs/monitoring.md holds no prometheus.yml')
  return sample
    .replace(/scrape_interval: \d+s/, `scrape_interval: ${intervalSeconds}s`)
    .replace(/targets: \[[^\]]+\]/, `targets: [${targets.map((target) => `'${target}'`).join(', ')}]`)
    .replace(/credentials_file: \S+/, 'credentials_file: TOKEN_FILE')
    .replace(/ca_file: \S+/, 'ca_file: CA_FILE')
}
