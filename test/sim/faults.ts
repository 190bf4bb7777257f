// The faults, and the plan that lets a seed's own choice of them happen one over the other.
import { calmMachine, type MachineFaults } from '../../src/drivers/sim/machine.ts'
import { calmNetwork, type NetworkFaults } from '../../src/drivers/sim/network.ts'
import type { NodeId } from '../../src/model/id.ts'
import type { SimHost } from './host.ts'
import type { SimRandom } from './sim-random.ts'
import type { World } from './world.ts'

/** Begins, and returns how it ends; null where it cannot happen now. */
type Begin = (plan: FaultPlan, random: SimRandom) => (() => void) | null
type Fault = { readonly begin: Begin; /** How long it lasts, milliseconds. */ readonly lastsMs: readonly [number, number] }

const faults = {
  delay: { lastsMs: [3000, 20_000], begin: (plan, random) => plan.network({ delayMsMin: 5, delayMsMax: 5 + random.between(20, 300) }) },
  loss: { lastsMs: [3000, 20_000], begin: (plan, random) => plan.network({ lossRatio: random.between(2, 30) / 100 }) },
  duplication: { lastsMs: [3000, 20_000], begin: (plan, random) => plan.network({ duplicateRatio: random.between(5, 50) / 100 }) },
  reordering: { lastsMs: [3000, 20_000], begin: (plan, random) => plan.network({ delayMsMin: 0.2, delayMsMax: random.between(20, 150), reorderRatio: random.between(10, 60) / 100 }) },
  lateMessages: { lastsMs: [3000, 20_000], begin: (plan, random) => plan.network({ lateRatio: random.between(5, 60) / 100, duplicateRatio: random.between(0, 40) / 100 }) },
  partition: { lastsMs: [2000, 15_000], begin: (plan, random) => plan.partition(random) },
  oneWay: { lastsMs: [2000, 12_000], begin: (plan, random) => plan.oneWay(random) },
  partialPartition: { lastsMs: [2000, 15_000], begin: (plan, random) => plan.partialPartition(random) },
  daemonCrash: { lastsMs: [200, 8000], begin: (plan, random) => plan.takeDown(random, 'daemon') },
  daemonRestart: { lastsMs: [300, 3000], begin: (plan, random) => plan.takeDown(random, 'orderly') },
  powerCut: { lastsMs: [1000, 15_000], begin: (plan, random) => plan.takeDown(random, 'power') },
  clusterPowerCut: { lastsMs: [500, 3000], begin: (plan, random) => plan.takeAllDown(random) },
  leaderCrash: { lastsMs: [500, 8000], begin: (plan, random) => plan.takeDown(random, 'leader') },
  leaderHunt: { lastsMs: [4000, 15_000], begin: (plan, random) => plan.hunt(random) },
  voterHunt: { lastsMs: [4000, 12_000], begin: (plan, random) => plan.huntVoters(random) },
  transfer: { lastsMs: [3000, 9000], begin: (plan, random) => plan.transfer(random) },
  memberChange: { lastsMs: [1, 2], begin: (plan, random) => plan.changeMembers(random) },
  leftBehind: { lastsMs: [3000, 9000], begin: (plan, random) => plan.leaveBehind(random) },
  upgrade: { lastsMs: [2000, 6000], begin: (plan, random) => plan.upgrade(random) },
  logHarm: { lastsMs: [2000, 4000], begin: (plan, random) => plan.harm(random) },
  slowSync: { lastsMs: [2000, 15_000], begin: (plan, random) => plan.slowDisk(random) },
  slowDisks: { lastsMs: [3000, 15_000], begin: (plan, random) => plan.slowDisks(random) },
  hungDisk: { lastsMs: [2000, 8000], begin: (plan, random) => plan.hangDisk(random) },
  failingSync: { lastsMs: [100, 1500], begin: (plan, random) => plan.failingDisk(random, { fsyncFails: true }) },
  fullDisk: { lastsMs: [100, 1500], begin: (plan, random) => plan.failingDisk(random, { full: true }) },
  clockJump: { lastsMs: [1000, 30_000], begin: (plan, random) => plan.clockJump(random) },
  stall: { lastsMs: [1, 2], begin: (plan, random) => plan.stall(random) },
  hypervisorSlow: { lastsMs: [2000, 20_000], begin: (plan, random) => plan.hypervisor(random, { latencyMsMin: 50, latencyMsMax: random.between(200, 5000) }) },
  hypervisorFailing: { lastsMs: [2000, 20_000], begin: (plan, random) => plan.hypervisor(random, { failRatio: random.between(10, 80) / 100 }) },
  hypervisorLying: { lastsMs: [2000, 20_000], begin: (plan, random) => plan.hypervisor(random, { lieRatio: random.between(10, 60) / 100 }) },
  hypervisorHanging: { lastsMs: [2000, 20_000], begin: (plan, random) => plan.hypervisor(random, { hangRatio: random.between(5, 40) / 100 }) },
  deafGuests: { lastsMs: [2000, 20_000], begin: (plan, random) => plan.hypervisor(random, { deafRatio: random.between(20, 100) / 100 }) },
  hypervisorFrozen: { lastsMs: [1000, 25_000], begin: (plan, random) => plan.hypervisorFrozen(random) },
  hypervisorAway: { lastsMs: [1000, 15_000], begin: (plan, random) => plan.hypervisorAway(random) },
  moveHunt: { lastsMs: [15_000, 40_000], begin: (plan, random) => plan.huntMoves(random) },
  guestCrash: { lastsMs: [1, 2], begin: (plan, random) => plan.guest(random) },
} as const satisfies Record<string, Fault>

export type FaultKind = keyof typeof faults
const kinds = Object.keys(faults) as readonly FaultKind[]
/** Who is back is reached again, and sent what it needs, within so long. */
const snapshotSoonMs = 6000

export class FaultPlan {
  readonly counts: Record<string, number> = {}
  readonly #world: World
  readonly #random: SimRandom
  readonly #chosen: readonly FaultKind[]
  readonly #pauseMsMax: number
  #active = new Set<() => void>()
  #networkChanges = new Set<Partial<NetworkFaults>>()
  #cut: object | null = null
  #running = false

  /** Swarm testing: each seed draws its own kinds, and how close they come. */
  constructor(world: World) {
    this.#world = world
    this.#random = world.random.fork()
    const size = this.#random.between(4, kinds.length)
    // Leaders come and go in every seed.
    this.#chosen = [...new Set<FaultKind>(['leaderHunt', ...this.#random.shuffle(kinds).slice(0, size)])]
    if (this.#chosen.includes('logHarm')) world.mayLoseHost = true
    this.#pauseMsMax = this.#random.pick([3000, 8000, 15_000])
  }

  start(): void {
    this.#running = true
    this.#next()
  }

  /** Ends every fault that lasts; what is down comes up. */
  stop(): void {
    this.#running = false
    for (const end of this.#active) end()
  }

  /** Makes one happen now, whatever was drawn. */
  force(kind: FaultKind): boolean {
    const fault: Fault = faults[kind]
    const end = fault.begin(this, this.#random)
    if (end === null) return false
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
    this.#world.note(`fault ${kind}`)
    const once = (): void => {
      if (!this.#active.delete(once)) return
      this.#world.note(`fault ${kind} ends`)
      end()
    }
    this.#active.add(once)
    this.#world.clock.after(this.#random.between(...fault.lastsMs), once)
    return true
  }

  #next(): void {
    this.#world.clock.after(this.#random.between(300, this.#pauseMsMax), () => {
      if (!this.#running) return
      this.force(this.#random.pick(this.#chosen))
      this.#next()
    })
  }

  network(change: Partial<NetworkFaults>): () => void {
    const apply = (): void => this.#world.network.setFaults(Object.assign({ ...calmNetwork }, ...this.#networkChanges))
    this.#networkChanges.add(change)
    apply()
    return () => {
      this.#networkChanges.delete(change)
      apply()
    }
  }

  partition(random: SimRandom): (() => void) | null {
    const ids = random.shuffle(this.#world.hosts.map(({ nodeId }) => nodeId))
    const at = random.between(1, ids.length - 1)
    return this.#cutting(() => this.#world.network.partition([ids.slice(0, at), ids.slice(at)]))
  }

  oneWay(random: SimRandom): (() => void) | null {
    const [from, to] = random.shuffle(this.#world.hosts)
    if (from === undefined || to === undefined) return null
    return this.#cutting(() => this.#world.network.cut(from.nodeId, to.nodeId))
  }

  /** One cut at a time: healing ends them all. */
  #cutting(cut: () => void): (() => void) | null {
    if (this.#cut !== null) return null
    const mine = {}
    this.#cut = mine
    cut()
    return () => {
      if (this.#cut !== mine) return
      this.#cut = null
      this.#world.network.heal()
    }
  }

  takeDown(random: SimRandom, how: 'daemon' | 'orderly' | 'power' | 'leader'): (() => void) | null {
    const leader = this.#world.leader
    if (how === 'leader' && leader === undefined) return null
    const up = this.#world.hosts.filter((host) => host.isUp)
    if (up.length === 0) return null
    const host = how === 'leader' && leader !== undefined ? leader : random.pick(up)
    if (how === 'power') host.cutPower()
    else if (how === 'orderly') host.stopDaemon()
    else host.killDaemon()
    this.#world.note(`${host.name} goes down`)
    return () => {
      // As its supervisor does with one that will not stop.
      host.killDaemon()
      this.#world.boot(host)
    }
  }

  /**
   * No leader lasts: as soon as it appears it is flooded with writes, and killed or cut off, and comes back a little later.
   * Leaves entries of many terms, some on one node only (Raft paper, figure 8).
   */
  hunt(random: SimRandom): () => void {
    const world = this.#world
    const strike = (host: SimHost): void => {
      if (!world.leaderHunters.has(hunter) || world.leader !== host) return
      const minority = this.#minorityOf(host, random)
      const heal = random.chance(0.6) ? this.#cutting(() => world.network.partition([minority])) : null
      world.flood?.(host)
      if (random.chance(0.5)) world.crowd?.(host, 'readsAndWrites')
      if (heal !== null) world.clock.after(random.between(200, 3000), heal)
      if (random.chance(0.15)) return host.clock.stall(random.between(1000, 5000))
      if (heal !== null && random.chance(minority.length > 1 ? 0.8 : 0.3)) return
      world.clock.after(heal === null ? 0 : random.between(1, 50), () => {
        host.killDaemon()
        world.clock.after(random.between(50, 2500), () => world.boot(host))
      })
    }
    const hunter = (host: SimHost): void => {
      // Who led before may not know that it leads no more.
      for (const delayMs of [0, 50, 300, 600]) world.clock.after(delayMs, () => this.#askFormer(host))
      world.clock.after(random.pick([0, 0, 2, 4, 8, 40, 150]), () => strike(host))
    }
    world.leaderHunters.add(hunter)
    return () => world.leaderHunters.delete(hunter)
  }

  /** The host, and as many others that the rest is a majority without them. */
  #minorityOf(host: SimHost, random: SimRandom): readonly string[] {
    const others = random.shuffle(this.#world.hosts.filter((each) => each !== host)).map(({ nodeId }) => nodeId)
    return [host.nodeId, ...others.slice(0, random.integer(Math.floor(others.length / 2)))]
  }

  #askFormer(leader: SimHost): void {
    for (const host of this.#world.serving) if (host !== leader && host.node?.cluster.status().role === 'leader') this.#world.crowd?.(host, 'reads')
  }

  /** Elections are long and contested, and whoever gives its vote dies with the answer on its way, and is soon back to be asked by another candidate. */
  huntVoters(random: SimRandom): () => void {
    const world = this.#world
    const calm = this.network({ delayMsMin: 20, delayMsMax: random.between(100, 400), duplicateRatio: random.between(0, 50) / 100, reorderRatio: 0.5 })
    const crash = (host: SimHost, downMsMax: number): void => {
      if (!world.voterHunters.has(onVoter)) return
      host.killDaemon()
      world.clock.after(random.between(20, downMsMax), () => world.boot(host))
    }
    const onVoter = (host: SimHost): void => {
      if (random.chance(0.7)) world.clock.after(random.pick([0, 0, 1, 20]), () => crash(host, 100))
    }
    const onLeader = (host: SimHost): void => {
      if (random.chance(0.8)) world.clock.after(random.between(0, 300), () => crash(host, 2000))
    }
    world.voterHunters.add(onVoter)
    world.leaderHunters.add(onLeader)
    const { leader } = world
    if (leader !== undefined) crash(leader, 2000)
    return () => {
      world.voterHunters.delete(onVoter)
      world.leaderHunters.delete(onLeader)
      calm()
    }
  }

  /** The datacentre goes dark under load, and comes back host by host: whatever was acknowledged has to be on a majority's disks. */
  takeAllDown(random: SimRandom): () => void {
    const world = this.#world
    const isOver = { now: false }
    const cut: SimHost[] = []
    if (random.chance(0.7)) for (const host of world.hosts) host.disk.faults.fsyncDelayMs = random.pick([host.calmFsyncDelayMs, 10, 40, 120])
    const cancel = world.clock.every(10, () => {
      if (world.leader !== undefined) world.flood?.(world.leader)
    })
    world.clock.after(random.between(50, 400), () => {
      cancel()
      if (isOver.now) return
      const last = world.leader
      cut.push(...random.shuffle(world.hosts.filter((host) => host.isUp && host !== last)), ...(last === undefined ? [] : [last]))
      for (const host of cut) host.cutPower()
    })
    return () => {
      isOver.now = true
      cancel()
      for (const host of world.hosts) host.disk.faults.fsyncDelayMs = host.calmFsyncDelayMs
      // Who knew most often comes back last.
      for (const [at, host] of cut.entries()) world.clock.after(at * random.pick([0, 10, 2000, 4000]), () => world.boot(host))
    }
  }

  /**
   * A bit flips, a file is cut short or gone, the directory is wiped, or reads at the next start come from the wrong place. At most one log: its node may
   * take no part any more, and the others have to be a majority. The daemon was stopped in order: right after a power cut the newest record may be
   * there once only, and nothing tells its loss from a write that was cut short.
   */
  harm(random: SimRandom): (() => void) | null {
    const world = this.#world
    const host = random.pick(world.hosts)
    if (world.hosts.some((each) => each.isDamaged || each.logWatch.isHarmed) || !host.isServing || host.logWatch.content === null) return null
    const how = random.pick(['flip', 'flip', 'truncate', 'remove', 'wipe', 'misdirect'] as const)
    const { life } = host
    host.stopDaemon()
    return () => {
      if (host.isUp || host.life !== life + 1 || world.hosts.some((each) => each.isDamaged || each.logWatch.isHarmed)) {
        host.killDaemon()
        return world.boot(host)
      }
      if (how === 'misdirect') host.logDisk.readsMisdirected = random.between(1, 3)
      else host.logDisk.spoil(how)
      world.note(`${host.name} log: ${how}`)
      this.counts[`log ${how}`] = (this.counts[`log ${how}`] ?? 0) + 1
      host.logWatch.isHarmed = true
      world.boot(host)
    }
  }

  /** Two hosts do not reach each other; all others reach both. */
  partialPartition(random: SimRandom): (() => void) | null {
    const [left, right] = random.shuffle(this.#world.hosts)
    if (left === undefined || right === undefined) return null
    return this.#cutting(() => {
      this.#world.network.cut(left.nodeId, right.nodeId)
      this.#world.network.cut(right.nodeId, left.nodeId)
    })
  }

  /** An operator hands leadership over, perhaps while everything else goes on, perhaps to somebody who is lost just then. */
  transfer(random: SimRandom): (() => void) | null {
    const cluster = this.#world.leader?.node?.cluster
    if (cluster === undefined) return null
    const to = random.pick(cluster.status().configuration.voters)
    const heal = random.chance(0.4) ? this.#cutting(() => this.#world.network.partition([[to]])) : null
    cluster.transferLeadership(heal === null && random.chance(0.3) ? undefined : (to as NodeId)).catch(() => undefined)
    return heal ?? (() => undefined)
  }

  /** One or two voters become learners for a while: the membership controller makes them voters again. */
  changeMembers(random: SimRandom): (() => void) | null {
    const cluster = this.#world.leader?.node?.cluster
    if (cluster === undefined) return null
    const { voters } = cluster.status().configuration
    // Whom a seed may lose for good, the rest has to be able to do without.
    const left = this.#world.mayLoseHost ? 3 : 2
    const [first, second] = random.shuffle(voters)
    if (first === undefined || second === undefined || voters.length <= left) return null
    const demoted = voters.length - 2 >= left && random.chance(0.5) ? [first, second] : [first]
    const steps = demoted.map((id) => ({ kind: 'addLearner', id }) as const)
    cluster.changeConfiguration({ transition: random.pick(['auto', 'implicit'] as const), steps }).catch(() => undefined)
    return () => undefined
  }

  /** One host misses so much that it needs a snapshot, and dies (or its leader does) soon after it is back, or while the snapshot is on its way. */
  leaveBehind(random: SimRandom): (() => void) | null {
    const world = this.#world
    const host = random.pick(world.hosts)
    const heal = this.#cutting(() => world.network.partition([[host.nodeId]]))
    if (heal === null) return null
    const cancel = world.clock.every(100, () => {
      const leader = world.serving.find((each) => each !== host && each.node?.cluster.status().role === 'leader')
      if (leader !== undefined) world.flood?.(leader)
    })
    return () => {
      cancel()
      heal()
      const strike = (): void => {
        const victim = random.chance(0.6) ? host : (world.leader ?? host)
        if (!victim.isUp || !this.#running) return
        if (random.chance(0.5)) victim.cutPower()
        else victim.killDaemon()
        world.clock.after(random.between(50, 2500), () => world.boot(victim))
      }
      if (random.chance(0.3)) world.clock.after(random.pick([0, 1, 3, 10, 50, 400]), strike)
      else this.#atSnapshot(host, () => world.clock.after(random.pick([0, 1, 2, 3, 5, 10, 30, 100]), strike))
    }
  }

  /** Once, if one leaves for the host soon. */
  #atSnapshot(host: SimHost, act: () => void): void {
    const world = this.#world
    const hunter = (to: SimHost): void => {
      if (to === host && world.snapshotHunters.delete(hunter)) act()
    }
    world.snapshotHunters.add(hunter)
    world.clock.after(snapshotSoonMs, () => world.snapshotHunters.delete(hunter))
  }

  /** A rolling upgrade: one host after the other is stopped in order and comes back as a newer version. */
  upgrade(random: SimRandom): (() => void) | null {
    const former = this.#world.hosts.filter((each) => each.isUp && each.version === '0.1.0')
    if (former.length === 0) return null
    const host = random.pick(former)
    host.stopDaemon()
    return () => {
      host.killDaemon()
      host.version = '0.2.0'
      this.#world.boot(host)
    }
  }

  /** No error, no progress. */
  hangDisk(random: SimRandom): (() => void) | null {
    const host = random.pick(this.#world.hosts)
    if (host.disk.faults.hung) return null
    host.setDiskFaults({ hung: true })
    return () => host.setDiskFaults({ hung: false })
  }

  slowDisk(random: SimRandom): () => void {
    const host = random.pick(this.#world.hosts)
    host.disk.faults.fsyncDelayMs = random.pick([5, 40, 200, 3000])
    return () => {
      host.disk.faults.fsyncDelayMs = host.calmFsyncDelayMs
    }
  }

  /** All at once: whatever is answered before it is durable shows when the power goes. */
  slowDisks(random: SimRandom): () => void {
    for (const host of this.#world.hosts) host.disk.faults.fsyncDelayMs = random.between(20, 150)
    return () => {
      for (const host of this.#world.hosts) host.disk.faults.fsyncDelayMs = host.calmFsyncDelayMs
    }
  }

  /** The daemon that meets it ends, and is started again by its supervisor. */
  failingDisk(random: SimRandom, change: Parameters<SimHost['setDiskFaults']>[0]): (() => void) | null {
    const host = random.pick(this.#world.hosts)
    if (host.disk.faults.fsyncFails || host.disk.faults.full) return null
    host.setDiskFaults(change)
    this.#world.excused.add(host.name)
    return () => {
      host.setDiskFaults({ fsyncFails: false, full: false })
      // A disk that fails takes its machine along now and then: what it only pretended to have is gone.
      if (change.fsyncFails !== true || !this.#running || !random.chance(0.4)) return
      host.cutPower()
      this.#world.clock.after(random.between(500, 3000), () => this.#world.boot(host))
    }
  }

  clockJump(random: SimRandom): () => void {
    const host = random.pick(this.#world.hosts)
    host.setSkew(random.pick([-3_600_000, 3_600_000, -60_000, 2000]))
    return () => host.setSkew(0)
  }

  stall(random: SimRandom): (() => void) | null {
    const up = this.#world.hosts.filter((host) => host.isUp)
    if (up.length === 0) return null
    random.pick(up).clock.stall(random.between(200, 6000))
    return () => undefined
  }

  hypervisor(random: SimRandom, change: Partial<MachineFaults>): (() => void) | null {
    const { faults: knobs } = random.pick(this.#world.hosts).machine
    const names = Object.keys(change) as readonly (keyof MachineFaults)[]
    const calm = Object.fromEntries(names.map((name) => [name, calmMachine[name]]))
    if (names.some((name) => knobs[name] !== calm[name])) return null
    Object.assign(knobs, change)
    return () => {
      Object.assign(knobs, calm)
    }
  }

  hypervisorFrozen(random: SimRandom): () => void {
    const { machine } = random.pick(this.#world.hosts)
    machine.setFrozen(true)
    return () => machine.setFrozen(false)
  }

  hypervisorAway(random: SimRandom): () => void {
    const { machine } = random.pick(this.#world.hosts)
    machine.setReachable(false)
    return () => machine.setReachable(true)
  }

  /** Whenever all of a guest has come to its new host, one of the two or what is between them fails before both can know. */
  huntMoves(random: SimRandom): () => void {
    const world = this.#world
    const fail = (host: SimHost, other: SimHost): (() => void) | null => {
      switch (random.pick(['daemon', 'power', 'away', 'frozen', 'cut'] as const)) {
        case 'daemon':
          host.killDaemon()
          return () => world.boot(host)
        case 'power':
          host.cutPower()
          return () => world.boot(host)
        case 'away':
          host.machine.setReachable(false)
          return () => host.machine.setReachable(true)
        case 'frozen':
          host.machine.setFrozen(true)
          return () => host.machine.setFrozen(false)
        case 'cut':
          return this.#cutting(() => {
            world.network.cut(host.nodeId, other.nodeId)
            world.network.cut(other.nodeId, host.nodeId)
          })
      }
    }
    const hunter = (target: SimHost, vmId: string): void => {
      const source = world.hosts.find((host) => host !== target && host.machine.get(vmId) !== undefined)
      if (source === undefined || !random.chance(0.7)) return
      const [host, other] = random.chance(0.6) ? [source, target] : [target, source]
      world.clock.after(random.integer(25), () => {
        if (!this.#running) return
        const heal = fail(host, other)
        if (heal !== null) world.clock.after(random.between(300, 6000), heal)
      })
    }
    world.moveHunters.add(hunter)
    return () => world.moveHunters.delete(hunter)
  }

  /** A guest ends by itself, crashes, or somebody pulls its plug behind our back. */
  guest(random: SimRandom): (() => void) | null {
    const { machine } = random.pick(this.#world.hosts)
    const [vmId] = random.shuffle(machine.runningVcpus())
    if (vmId === undefined) return null
    machine[random.pick(['guestPowerOff', 'crash', 'destroy'] as const)](vmId)
    return () => undefined
  }
}
