// What the chaos test does to a lab's daemons and links: SIGKILL, SIGSTOP, cuts both ways and one way, loss. Everything can be taken back.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SimRandom } from '../sim/sim-random.ts'
import { run, type Lab } from './lab-runner.ts'

const names = ['node1', 'node2', 'node3'] as const
type Fault = { readonly kind: string; readonly what: string; readonly begin: () => Promise<void> | void }

export class ChaosFaults {
  readonly #lab: Lab
  readonly #labId: string
  readonly #random: SimRandom
  readonly #stopped = new Set<number>()

  /** @param labId of `lab status` */
  constructor(lab: Lab, labId: string, random: SimRandom) {
    this.#lab = lab
    this.#labId = labId
    this.#random = random
  }

  /** A fault by chance, ready to begin. @param leader who leads now, if anybody knows: half of the faults are meant for it */
  draw(leader: string | null): Fault {
    const random = this.#random
    const victim = leader !== null && random.chance(0.5) ? leader : random.pick(names)
    const others = random.shuffle(names.filter((name) => name !== victim))
    const [one = '', other = ''] = others
    const kinds: readonly (() => Fault)[] = [
      () => ({ kind: 'kill', what: victim, begin: () => this.kill(victim) }),
      () => ({ kind: 'kill', what: `${victim}, ${one}`, begin: () => [victim, one].forEach((name) => this.kill(name)) }),
      () => ({ kind: 'kill', what: 'all', begin: () => names.forEach((name) => this.kill(name)) }),
      () => ({ kind: 'stop', what: victim, begin: () => this.stop(victim) }),
      () => ({ kind: 'stop', what: `${victim}, ${one}`, begin: () => [victim, one].forEach((name) => this.stop(name)) }),
      () => ({ kind: 'cut', what: `${victim} from both`, begin: () => this.cut([[victim, one], [one, victim], [victim, other], [other, victim]]) }),
      () => ({ kind: 'cut', what: `${victim} from ${one} only`, begin: () => this.cut([[victim, one], [one, victim]]) }),
      () => ({ kind: 'one-way', what: `nothing from ${victim}`, begin: () => this.cut([[victim, one], [victim, other]]) }),
      () => ({ kind: 'one-way', what: `nothing to ${victim}`, begin: () => this.cut([[one, victim], [other, victim]]) }),
      () => ({ kind: 'one-way', what: `nothing from ${victim} to ${one}`, begin: () => this.cut([[victim, one]]) }),
      () => ({ kind: 'loss', what: '30 % everywhere', begin: () => this.cut(names.flatMap((from) => names.filter((to) => to !== from).map((to) => [from, to] as const)), 30) }),
      () => ({ kind: 'cut', what: 'all from all', begin: () => this.cut(names.flatMap((from) => names.filter((to) => to !== from).map((to) => [from, to] as const))) }),
    ]
    return random.pick(kinds)()
  }

  /** SIGKILL of the daemon; the lab starts it again after a second, as systemd would. */
  kill(name: string): void {
    this.#signal(name, 'SIGKILL')
  }

  stop(name: string): void {
    const pid = this.#signal(name, 'SIGSTOP')
    if (pid !== null) this.#stopped.add(pid)
  }

  /** Drops what goes from one host to the other, in the lab's own switch. */
  async cut(pairs: readonly (readonly [from: string, to: string])[], percent = 100): Promise<void> {
    const chance = percent === 100 ? '' : `numgen random mod 100 < ${percent} `
    const rules = pairs.map(([from, to]) => `iifname "${port(from)}" oifname "${port(to)}" ${chance}drop`)
    await this.#rules(['table bridge chaos {', 'chain cut {', 'type filter hook forward priority 1; policy accept;', ...rules, '}', '}'].join('\n'))
  }

  /** Takes everything back. */
  async heal(): Promise<void> {
    for (const pid of this.#stopped) signalNow(pid, 'SIGCONT')
    this.#stopped.clear()
    await this.#rules('')
  }

  /** One life of a node's daemon. */
  life(name: string): string {
    return `${name} ${this.pid(name) ?? 'off'}`
  }

  pid(name: string): number | null {
    try {
      return Number(readFileSync(join(this.#lab.dir, name, 'run', 'novacron.pid'), 'utf8'))
    } catch {
      return null
    }
  }

  #signal(name: string, signal: NodeJS.Signals): number | null {
    const pid = this.pid(name)
    return pid !== null && this.#isDaemon(pid, name) && signalNow(pid, signal) ? pid : null
  }

  /** A pid file may be older than the process that has its number now. */
  #isDaemon(pid: number, name: string): boolean {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(join(this.#lab.dir, name, 'node.json'))
    } catch {
      return false
    }
  }

  async #rules(text: string): Promise<void> {
    const input = `table bridge chaos {}\ndelete table bridge chaos\n${text}\n`
    const ran = await run(['ip', 'netns', 'exec', `nc-${this.#labId}-switch`, 'nft', '-f', '-'], { input })
    if (ran.code !== 0) throw new Error(`nft: ${ran.stderr}`)
  }
}

function port(name: string): string {
  return `p${name.replace('node', '')}`
}

function signalNow(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    return false
  }
}
