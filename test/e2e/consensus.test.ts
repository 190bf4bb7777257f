// Operators steer consensus on real hosts: status from any node, leadership handed over, who votes, a shorter log, a silent member, no quorum; and its page.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { clusterMembersSchema, type ClusterMembers, type Member } from '../../src/model/member.ts'
import { findings, openBrowser, overhang, signIn, sit } from './browser.ts'
import { eventually, Lab, novacron } from './lab-runner.ts'

t.setTimeout(600_000)
const lab = new Lab()
/** Where pictures are kept that a person wants to look at. */
const pictures = process.env['PICTURES'] ?? ''

t.teardown(async () => {
  await lab.run('down', '--purge')
  rmSync(dirname(lab.dir), { recursive: true, force: true })
})

async function cluster(asked: string, ...args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return await novacron(['cluster', ...args], { env: lab.env(asked), timeoutMs: 90_000 })
}
async function must(asked: string, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const ran = await cluster(asked, ...args, '--json')
  if (ran.code !== 0) throw new Error(`cluster ${args.join(' ')}: ${ran.code} ${ran.stderr}`)
  return JSON.parse(ran.stdout) as Record<string, unknown>
}
async function view(asked: string): Promise<ClusterMembers> {
  const { clustered: _clustered, name: _name, nodeId: _nodeId, halted: _halted, ...members } = JSON.parse((await cluster(asked, 'status', '--json')).stdout) as Record<string, unknown>
  return clusterMembersSchema.parse(members)
}
/** Reason and name of what is told of nodes and of the cluster, the newest first. */
async function told(asked: string): Promise<readonly string[]> {
  const { items } = JSON.parse((await novacron(['event', 'list', '--filter', 'type:updated', '--limit', '200', '--json'], { env: lab.env(asked) })).stdout) as { items: { readonly reason: string; readonly name: string }[] }
  return items.map(({ reason, name }) => `${reason} ${name}`)
}
const votes = (member: Member) => member.role === 'leader' || member.role === 'voter'
const voters = async (asked: string) => (await view(asked)).members.filter(votes).map(({ name }) => name).join()
const named = async (asked: string, name: string): Promise<Member> => (await view(asked)).members.find((member) => member.name === name)!
/** The first of the names that votes and does not lead. */
const follower = async (asked: string) => (await view(asked)).members.find((member) => member.role === 'voter')!.name
const learner = async (asked: string) => (await view(asked)).members.find((member) => member.role === 'learner')!.name

await t.test('status says the same from every node: roles, lag, contact, latencies, time-outs', async (t) => {
  await lab.up(4)
  await eventually('three vote', 60_000, async () => (await view('node1')).members.filter(votes).length === 3)
  // Latencies of others come by gossip.
  await eventually('all is known', 30_000, async () => (await view('node4')).members.every((member) => member.logSyncMs !== null && member.loopDelayMs !== null))
  for (const asked of ['node1', 'node4']) {
    const { leader, quorum, stale, timing, members } = await view(asked)
    t.match({ leader, quorum, stale, timing }, { leader: /^node\d$/, quorum: true, stale: false, timing: { heartbeatMs: 250, electionMs: 1000, lostMs: 10_000, steadyMs: 30_000 } })
    t.same(members.map(({ name, reachable }) => [name, reachable]), ['node1', 'node2', 'node3', 'node4'].map((name) => [name, true]))
    for (const member of members) t.match(member, { matchLag: Number, commitLag: Number, applyLag: Number, lastContactMs: Number, logSyncMs: Number, loopDelayMs: Number, version: /^\d/ }, `${member.name} as ${asked} says`)
    t.equal(members.filter((member) => member.role === 'learner').length, 1)
  }
  const shown = await cluster('node2', 'status')
  t.match(shown.stdout, /^leader node\d, term \d+/)
  t.match(shown.stdout, /node4 +\w+ +follower/)
  const own = await novacron(['cluster', 'status', '--socket', join(lab.node('node2').dataDir, 'control.sock'), '--json'])
  t.match(JSON.parse(own.stdout), { clustered: true, name: 'node2', halted: null }, "a host's own daemon by its control socket, as before")
})

await t.test('leadership goes where it is wanted, from any node, and not where it cannot', async (t) => {
  const [to, cannot] = [await follower('node1'), await learner('node1')]
  t.match(await must('node4', 'transfer-leader', to), { leader: to })
  await eventually('node1 says so too', 5_000, async () => (await view('node1')).leader === to)
  await eventually('the events tell it', 20_000, async () => (await told('node1')).includes(`node.leads ${to}`))
  t.match(await cluster('node1', 'transfer-leader', cannot), { code: 5, stderr: new RegExp(`${cannot} does not vote`) })
  t.equal((await cluster('node1', 'transfer-leader', 'node9')).code, 3)
  t.match((await cluster('node1', 'transfer-leader', '--dry-run')).stdout, /leader: node\d -> node\d/)
  const next = String((await must('node1', 'transfer-leader'))['leader'])
  t.not(next, to, 'without a name the voter that is furthest')
})

await t.test('who votes is as wished, and wishes that weaken the cluster need a word', async (t) => {
  const [leaving, coming] = [await follower('node1'), await learner('node1')]
  await must('node3', 'demote', leaving)
  t.same(await named('node1', leaving).then(({ role, voting }) => [role, voting]), ['learner', 'never'])
  t.equal(votes(await named('node1', coming)), true, 'another took its place')
  const second = await follower('node1')
  t.match(await cluster('node1', 'demote', second), { code: 5, stderr: /2 of 4 members may vote/ })
  t.match((await cluster('node1', 'demote', second, '--dry-run')).stdout, /refused without force/)
  await must('node2', 'promote', leaving)
  t.same(await named('node1', leaving).then(({ role, voting }) => [role, voting]), ['voter', 'always'])
  await must('node2', 'promote', leaving, '--auto')
  t.equal((await named('node1', leaving)).voting, 'auto')
  // A leader that is not to vote hands over first.
  const { leader } = await view('node1')
  await must('node1', 'demote', leader!)
  const after = await view('node1')
  t.not(after.leader, leader)
  t.equal(after.members.find(({ name }) => name === leader)?.role, 'learner')
  await must('node1', 'promote', leader!, '--auto')
  t.equal((await view('node1')).members.filter(votes).length, 3)
})

await t.test('a log is shortened on whichever node', async (t) => {
  for (const name of ['node1', 'node3']) {
    const before = (await named('node2', name)).logEntries ?? 0
    const made = await must('node2', 'snapshot', name)
    t.match(made, { node: name, index: Number, entries: Number, bytesBefore: Number, bytesAfter: Number })
    t.ok(Number(made['entries']) >= before, `${String(made['entries'])} entries forgotten`)
    t.ok(((await named('node2', name)).logEntries ?? Infinity) < before)
  }
})

await t.test('the page: wide, narrow, dark; and its dialog', async (t) => {
  const browser = await openBrowser()
  t.teardown(() => browser.close())
  const { url } = lab.node('node2')
  const password = readFileSync(join(lab.dir, 'admin-password'), 'utf8').trim()
  for (const options of [{ width: 1440 }, { width: 1440, dark: true }, { width: 390, height: 844 }, { width: 390, height: 844, dark: true }]) {
    const { context, page, troubles } = await sit(browser, options)
    await signIn(page, url, password)
    for (const path of ['/consensus', '/consensus/node3']) {
      await page.goto(`${url}${path}`)
      await page.locator('#consensus').waitFor()
      t.same(await findings(page), [], `${path} at ${options.width}${options.dark === true ? ' dark' : ''}`)
      t.equal(await overhang(page), 0, `${path} at ${options.width} fits`)
      if (pictures !== '') {
        mkdirSync(pictures, { recursive: true })
        await page.screenshot({ path: join(pictures, `${path.replaceAll('/', '-').slice(1)}-${options.width}${options.dark === true ? '-dark' : ''}.png`) })
      }
    }
    t.same(troubles, [], 'no console error, no policy violation')
    await context.close()
  }
  const { context, page } = await sit(browser)
  await signIn(page, url, password)
  const to = await follower('node2')
  await page.goto(`${url}/consensus/${to}`)
  await page.getByRole('button', { name: `Let ${to} lead` }).click()
  await page.getByText('Leadership is handed over.').waitFor()
  await page.getByText(`${to} leads.`).waitFor()
  await context.close()
})

await t.test('a voter whose host is gone is silent, then replaced by the learner', async (t) => {
  const gone = (await view('node1')).members.find((member) => member.role === 'voter' && member.name !== 'node1')!.name
  const spare = await learner('node1')
  await lab.run('kill', gone)
  // What was asked a moment ago is answered once more for a second.
  await eventually(`${gone} is silent`, 5_000, async () => !(await named('node1', gone)).reachable)
  t.match((await cluster('node1', 'status')).stdout, new RegExp(`! ${gone} votes and does not answer; no other voter may be lost`))
  await eventually(`${spare} votes in its place`, 60_000, async () => (await voters('node1')).includes(spare))
  await eventually('the events tell it', 30_000, async () => {
    const events = await told('node1')
    return [`node.silent ${gone}`, `node.promoted ${spare}`, `node.demoted ${gone}`].every((event) => events.includes(event))
  })
  await lab.run('start', gone)
  await eventually(`${gone} is back`, 60_000, async () => (await named('node1', gone)).reachable)
  await eventually('the events tell that, too', 60_000, async () => (await told('node1')).includes(`node.heard ${gone}`))
})

await t.test('without a quorum what is known is shown, marked stale, and the exit code says so', async (t) => {
  const asked = 'node1'
  const others = (await view(asked)).members.filter((member) => votes(member) && member.name !== asked).map(({ name }) => name)
  for (const name of others) await lab.run('kill', name)
  await eventually('no leader answers', 30_000, async () => (await view(asked)).stale)
  const ran = await cluster(asked, 'status')
  t.equal(ran.code, 6)
  t.match(ran.stdout, /^leader none/)
  t.match(ran.stdout, /! No leader answers node1/)
  t.not((await cluster(asked, 'transfer-leader')).code, 0)
  // Root on the host needs neither server nor credential.
  const socket = join(lab.node(asked).dataDir, 'control.sock')
  const own = await novacron(['cluster', 'status', '--socket', socket, '--json'])
  t.equal(own.code, 6)
  t.match(JSON.parse(own.stdout), { name: asked, leader: null, quorum: false, stale: true, appliedIndex: Number, troubles: [], members: Array })
  const copy = join(dirname(lab.dir), 'rescue.novabackup')
  const refused = await cluster(asked, 'backup', copy, '--without-key')
  t.equal(refused.code, 6)
  t.match(refused.stderr, /novacron cluster backup --local/)
  t.equal(existsSync(copy), false)
  const saved = await novacron(['cluster', 'backup', copy, '--local', '--without-key', '--socket', socket, '--json'])
  t.match(JSON.parse(saved.stdout), { local: true, node: asked, term: Number })
  t.match((await novacron(['cluster', 'backup', '--verify', copy])).stderr, /may be behind/)
  // A shorter time without a leader is an election's, and is not told.
  await delay(5_000)
  for (const name of others) await lab.run('start', name)
  await eventually('there is a quorum again, and the events tell it', 60_000, async () => (await told(asked)).some((event) => event.startsWith('cluster.quorum')))
})
