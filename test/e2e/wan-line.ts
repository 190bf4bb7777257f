// Three network namespaces on one long line: every packet between them takes its time, and some are lost.
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { run } from './lab-runner.ts'

export type Line = {
  /** In order; `through` runs a command in the namespace. */
  readonly ends: readonly { readonly address: string; readonly through: readonly string[] }[]
  /** Packets that were dropped so far. */
  lost(): Promise<number>
  remove(): Promise<void>
}

/** @param options.delayMs one way */
export async function layLine(options: { readonly count: number; readonly delayMs: number; readonly lossPercent: number }): Promise<Line> {
  const tag = `ncw${process.pid % 100_000}`
  const ends = Array.from({ length: options.count }, (_, at) => ({ namespace: `${tag}-${at}`, device: `${tag}x${at}`, address: `10.77.0.${at + 1}` }))
  let relay: ChildProcess | null = null
  const remove = async (): Promise<void> => {
    relay?.kill()
    for (const { namespace } of ends) await run(['ip', 'netns', 'del', namespace])
  }
  try {
    for (const { namespace } of ends) await must(['ip', 'netns', 'add', namespace])
    relay = spawn(join(import.meta.dirname, 'wan-relay.pl'), [String(options.delayMs), ...ends.map(({ device, address }) => `${device}=${address}`)], { stdio: ['ignore', 'pipe', 'inherit'] })
    await said(relay, 'ready')
    for (const { namespace, device, address } of ends) {
      await must(['ip', 'link', 'set', device, 'netns', namespace])
      const inside = (...words: readonly string[]) => must(['ip', 'netns', 'exec', namespace, ...words])
      await inside('ip', 'link', 'set', 'lo', 'up')
      await inside('ip', 'address', 'add', `${address}/24`, 'dev', device)
      await inside('ip', 'link', 'set', device, 'mtu', '1400', 'up')
      // Where it arrives: what is dropped on its way out a sender would know of.
      await inside('nft', `add table ip line; add chain ip line arrives { type filter hook input priority 0; }; add rule ip line arrives iifname "${device}" numgen random mod 100 < ${options.lossPercent} counter drop`)
    }
  } catch (error) {
    await remove()
    throw error
  }
  return {
    ends: ends.map(({ address, namespace }) => ({ address, through: ['ip', 'netns', 'exec', namespace] })),
    async lost() {
      const counts = await Promise.all(ends.map(async ({ namespace }) => /counter packets (\d+)/.exec((await must(['ip', 'netns', 'exec', namespace, 'nft', 'list', 'ruleset'])).stdout)?.[1] ?? '0'))
      return counts.reduce((sum, each) => sum + Number(each), 0)
    },
    remove,
  }
}

async function must(command: readonly string[]) {
  const ran = await run(command)
  if (ran.code !== 0) throw new Error(`${command.join(' ')}: ${ran.stderr}`)
  return ran
}

function said(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => chunk.toString().includes(word) && resolve())
    child.on('error', reject).on('exit', (code) => reject(new Error(`the relay ended with ${code ?? 'a signal'}`)))
  })
}
