// A cluster whose members are 75 ms apart and lose 2 % of what they send: it forms, takes writes at every member, and elects nobody anew.
// `make wan` watches for ten minutes, CI for one (WAN_MINUTES). HEARTBEAT and ELECTION (ms) plant time-outs that such a line cannot bear.
import { join } from 'node:path'
import t from 'tap'
import { run } from './lab-runner.ts'
import type { Asked, Found } from './wan-inside.ts'
import { layLine } from './wan-line.ts'

const seconds = Number(process.env['WAN_MINUTES'] ?? '1') * 60
const [heartbeatMs, electionMs] = [process.env['HEARTBEAT'], process.env['ELECTION']].map((text) => (text === undefined || text === '' ? undefined : Number(text)))
const delayMs = 75
const formMs = 240_000
t.setTimeout(seconds * 1000 + 2 * formMs)

await t.test(`75 ms one way, 2 % loss, ${seconds} s: no needless election`, async (t) => {
  const line = await layLine({ count: 3, delayMs, lossPercent: 2 })
  t.teardown(() => line.remove())
  const { ends } = line
  const asked: Asked = { ends, seconds, timing: { ...(heartbeatMs === undefined ? {} : { heartbeatMs }), ...(electionMs === undefined ? {} : { electionMs }) } }
  const ran = await run([...ends[0]!.through, process.execPath, join(import.meta.dirname, 'wan-inside.ts'), JSON.stringify(asked)], { timeoutMs: seconds * 1000 + formMs })
  const last = ran.stdout.trim().split('\n').at(-1) ?? ''
  if (!t.equal(ran.code, 0, `${ran.stderr}${ran.stdout}`)) return
  const found = JSON.parse(last) as Found
  const lost = await line.lost()
  t.comment(`${found.writes} writes, in ${found.fastestMs.toFixed(0)} to ${found.slowestMs.toFixed(0)} ms; ${lost} packets lost; term ${found.terms.join(', ')}, leader ${found.leaders.join(', ')}; ${found.notes.join(' ')}`)
  t.ok(lost > seconds / 2, 'packets were lost')
  t.ok(found.fastestMs >= 2 * delayMs, 'no write without a round trip')
  t.same(found.terms.length, 1, `one term: ${found.terms.join(', ')}`)
  t.same(found.leaders.length, 1, `one leader: ${found.leaders.join(', ')}`)
  t.same(found.refused, [], 'every write was acknowledged')
  t.ok(found.writes > seconds / 4, 'writes went on')
})
