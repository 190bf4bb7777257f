// What nodes saw of people and tell each other by gossip: sessions and tokens in use, failed sign-ins, and what was refused before it became a command.
// It fades: bounded, in memory, lost where every node restarts at once. Nothing that decides rests on it.
import { z } from 'zod'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Gossip } from '../ports/transport.ts'

const topic = 'people'
const flushMs = 250
/** How often "last seen" is told. */
const seenPeriodMs = 30_000
const helloMs = [3_000, 15_000] as const
const sessionsMax = 20_000
const tokensMax = 10_000
export const notesMax = 5_000
/** Of each kind in one message, which has at most 64 KiB. */
const togetherMax = 50
/** What may wait to be told; the oldest are left out. */
const waitingMax = 500
const toldAgainMax = 300

const text = (max: number) => z.string().max(max)
const sessionSchema = z.strictObject({
  id: text(64), userId: text(64), address: text(64), agent: text(160), issuedMs: z.number(), expiresMs: z.number(), seenMs: z.number(), nodeId: text(64),
})
export type SessionSeen = z.infer<typeof sessionSchema>
const tokenSchema = z.strictObject({ id: text(64), usedMs: z.number(), address: text(64) })
const noteSchema = z.strictObject({
  id: text(64), nodeId: text(64), index: z.number().int(), timeMs: z.number(),
  actor: z.strictObject({ kind: text(16), id: text(64), name: text(128), address: text(64) }),
  command: text(64), target: text(128), code: text(64), detail: text(300),
})
/** A sign-in that failed, or a write that was refused before it was proposed; without a code: what was done and changes nothing, as taking a support bundle. */
export type Note = z.infer<typeof noteSchema>
/** `name` is a hash: what is typed there may be a password. */
const failureSchema = z.strictObject({ name: text(64), address: text(64), /** It has signed in after all: what failed before counts no more. */ cleared: z.literal(true).optional() })
export type Failure = z.infer<typeof failureSchema>
const messageSchema = z.strictObject({
  hello: z.boolean().optional(),
  sessions: z.array(sessionSchema).max(togetherMax).optional(),
  tokens: z.array(tokenSchema).max(togetherMax).optional(),
  notes: z.array(noteSchema).max(togetherMax).optional(),
  failures: z.array(failureSchema).max(togetherMax).optional(),
})
type Message = z.infer<typeof messageSchema>

type Ports = { readonly clock: Clock; readonly gossip: Gossip; readonly log: Log }

export class Sightings {
  readonly #nodeId: string
  readonly #ports: Ports
  readonly #sessions = new Map<string, SessionSeen>()
  readonly #tokens = new Map<string, z.infer<typeof tokenSchema>>()
  readonly #notes = new Map<string, Note>()
  /** What was not told yet, by kind; sessions and tokens by id. */
  readonly #untold = { sessions: new Set<string>(), tokens: new Set<string>(), notes: [] as Note[], failures: [] as Failure[] }
  readonly #cancels: Cancel[] = []
  #flush: Cancel | null = null
  #started = false
  #onFailure: (failure: Failure) => void = () => undefined

  constructor(nodeId: string, ports: Ports) {
    this.#nodeId = nodeId
    this.#ports = ports
  }

  start(): void {
    const { gossip, clock, log } = this.#ports
    this.#started = true
    gossip.subscribe(topic, (from, data) => {
      if (!this.#started) return
      const message = parseMessage(data)
      if (message === null) log.warn('sightings not understood', { from, bytes: data.length })
      else this.#hear(from, message)
    })
    this.#cancels.push(clock.every(seenPeriodMs, () => this.#tellSeen()))
    for (const afterMs of helloMs) this.#cancels.push(clock.after(afterMs, () => this.#publish({ hello: true })))
  }

  stop(): void {
    this.#started = false
    this.#flush?.()
    for (const cancel of this.#cancels) cancel()
  }

  /** Calls for each failed sign-in that another node tells of. */
  onFailure(listener: (failure: Failure) => void): void {
    this.#onFailure = listener
  }

  sawSession(seen: Omit<SessionSeen, 'seenMs' | 'nodeId'>): void {
    const isNew = !this.#sessions.has(seen.id)
    this.#keepSession({ ...seen, agent: seen.agent.slice(0, 160), seenMs: this.#ports.clock.nowMs(), nodeId: this.#nodeId })
    this.#untold.sessions.add(seen.id)
    if (isNew) this.#soon()
  }

  sawToken(id: string, address: string): void {
    keep(this.#tokens, id, { id, usedMs: this.#ports.clock.nowMs(), address }, tokensMax)
    this.#untold.tokens.add(id)
  }

  note(note: Omit<Note, 'nodeId'>): void {
    const made: Note = { ...note, nodeId: this.#nodeId, target: note.target.slice(0, 128), detail: note.detail.slice(0, 300), actor: { ...note.actor, name: note.actor.name.slice(0, 128) } }
    keep(this.#notes, made.id, made, notesMax)
    this.#untold.notes.push(made)
    this.#soon()
  }

  tellFailure(failure: Failure): void {
    this.#untold.failures.push(failure)
    // Whoever has proved who they are may go on to another node at once.
    if (failure.cleared === true) this.#tell()
    else this.#soon()
  }

  sessions(): Iterable<SessionSeen> {
    return this.#sessions.values()
  }

  session(id: string): SessionSeen | undefined {
    return this.#sessions.get(id)
  }

  token(id: string): { readonly usedMs: number; readonly address: string } | undefined {
    return this.#tokens.get(id)
  }

  notes(): Iterable<Note> {
    return this.#notes.values()
  }

  /** Forgets sessions that are over by themselves. */
  #keepSession(session: SessionSeen): void {
    const known = this.#sessions.get(session.id)
    if (known !== undefined && known.seenMs > session.seenMs) return
    keep(this.#sessions, session.id, session, sessionsMax)
    const [oldest] = this.#sessions.values()
    if (oldest !== undefined && oldest.expiresMs < this.#ports.clock.nowMs()) this.#sessions.delete(oldest.id)
  }

  #hear(from: string, message: Message): void {
    for (const session of message.sessions ?? []) this.#keepSession(session)
    for (const token of message.tokens ?? []) {
      if ((this.#tokens.get(token.id)?.usedMs ?? 0) < token.usedMs) keep(this.#tokens, token.id, token, tokensMax)
    }
    for (const note of message.notes ?? []) if (!this.#notes.has(note.id)) keep(this.#notes, note.id, note, notesMax)
    for (const failure of message.failures ?? []) this.#onFailure(failure)
    if (message.hello === true) this.#tellAgain(from)
  }

  /** To one that has just started: what this node saw, and what that one had told before. */
  #tellAgain(from: string): void {
    const concerns = (seen: { readonly nodeId: string }) => seen.nodeId === this.#nodeId || seen.nodeId === from
    for (const session of [...this.#sessions.values()].filter(concerns).slice(-toldAgainMax)) this.#untold.sessions.add(session.id)
    this.#untold.notes.push(...[...this.#notes.values()].filter(concerns).slice(-toldAgainMax))
    for (const id of [...this.#tokens.keys()].slice(-toldAgainMax)) this.#untold.tokens.add(id)
    this.#soon()
  }

  #tellSeen(): void {
    if (this.#untold.sessions.size + this.#untold.tokens.size > 0) this.#soon()
  }

  #soon(): void {
    if (!this.#started || this.#flush !== null) return
    this.#flush = this.#ports.clock.after(flushMs, () => {
      this.#flush = null
      this.#tell()
    })
  }

  #tell(): void {
    const { sessions, tokens, notes, failures } = this.#untold
    for (const list of [notes, failures]) list.splice(0, Math.max(0, list.length - waitingMax))
    const message: Message = {
      sessions: take(sessions).flatMap((id) => this.#sessions.get(id) ?? []),
      tokens: take(tokens).flatMap((id) => this.#tokens.get(id) ?? []),
      notes: notes.splice(0, togetherMax),
      failures: failures.splice(0, togetherMax),
    }
    this.#publish(message)
    if (sessions.size + tokens.size + notes.length + failures.length > 0) this.#soon()
  }

  #publish(message: Message): void {
    if (!this.#started) return
    try {
      this.#ports.gossip.publish(topic, new TextEncoder().encode(JSON.stringify(message)))
    } catch (error) {
      this.#ports.log.warn('sightings not told', { error: String(error) })
    }
  }
}

/** Puts it last; the first ones go where there are too many. */
function keep<T>(map: Map<string, T>, id: string, value: T, max: number): void {
  map.delete(id)
  map.set(id, value)
  for (const oldest of map.keys()) {
    if (map.size <= max) break
    map.delete(oldest)
  }
}

function take(set: Set<string>): readonly string[] {
  const taken = [...set].slice(0, togetherMax)
  for (const id of taken) set.delete(id)
  return taken
}

function parseMessage(data: Uint8Array): Message | null {
  try {
    const parsed = messageSchema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
