// The page of consensus: who leads, who lags, who is silent; what its dialog asks for, and that a refusal stands in it.
import { describe, expect, test } from 'vitest'
import { makePages } from './pages.ts'
import { makeMembers, refusal } from './stand-in.ts'

const textOf = async (response: Response | Promise<Response>) => (await response).text()

describe('the page', () => {
  test('says who leads, how many may be lost, and each member with its lag and latencies', async () => {
    const text = await textOf(makePages().get('/consensus'))
    expect(text).toContain('n1 leads. 2 of 3 votes decide: 1 may be lost.')
    expect(text).toMatch(/id="member-[^"]+".*n3.*>1,240</)
    expect(text).toContain('n3 is 1240 entries behind.')
    expect(text).toMatch(/Election time-out<\/dt><dd>1\u00a0s to 2\u00a0s/)
    expect(text).toContain('hx-sse:connect="/ui/events?page=consensus"')
    expect(text).not.toContain('<dialog id="member"')
  })

  test('without a leader it says what is missing, and of the silent that they are', async () => {
    const pages = makePages()
    const view = makeMembers(pages.app.scene.nodes)
    pages.app.scene.members = { ...view, leader: null, stale: true, members: view.members.map((member, at) => ({ ...member, stale: true, ...(at === 2 ? { reachable: false, matchLag: null, logSyncMs: null, lastContactMs: null } : {}) })) }
    const text = await textOf(pages.get('/consensus'))
    expect(text).toContain('No leader answers')
    expect(text).toMatch(/Silent/)
    expect(text).toMatch(/Without a leader/)
  })

  test('says of what was done no word that is not its own', async () => {
    for (const word of ['constructor', 'toString', '<b>']) {
      const response = await makePages().get(`/consensus?done=${encodeURIComponent(word)}`)
      expect(response.status).toBe(200)
      expect(await textOf(response)).not.toContain('class="note ok" role="status"')
    }
  })

  test('is led to from the nodes', async () => {
    expect(await textOf(makePages().get('/nodes'))).toContain('<a href="/consensus">')
  })
})

describe('steering a member', () => {
  test('has a dialog of its own address', async () => {
    const text = await textOf(makePages().get('/consensus/n2'))
    expect(text).toMatch(/<dialog id="member"[^>]* data-open open>.*action="\/consensus\/n2\/lead".*action="\/consensus\/n2\/promote".*action="\/consensus\/n2\/demote".*action="\/consensus\/n2\/compact"/s)
    expect(text).not.toContain('/consensus/n2/auto-vote')
    expect((await makePages().get('/consensus/nobody')).status).toBe(404)
  })

  test.each([
    ['lead', {}, { what: 'node.lead', body: { node: 'n2' } }, 'lead'],
    ['promote', {}, { what: 'node.vote', body: { ref: 'n2', voting: 'always' } }, 'vote'],
    ['demote', { force: 'yes' }, { what: 'node.vote', body: { ref: 'n2', voting: 'never' } }, 'vote'],
    ['auto-vote', {}, { what: 'node.vote', body: { ref: 'n2', voting: 'auto' } }, 'vote'],
    ['compact', {}, { what: 'node.compact', body: 'n2' }, 'compact'],
  ] as const)('%s', async (verb, fields, write, done) => {
    const pages = makePages()
    const response = await pages.post(`/consensus/n2/${verb}`, fields)
    expect(response.headers.get('Location')).toBe(`/consensus?done=${done}`)
    expect(pages.app.writes.at(-1)).toMatchObject(write)
    expect(await textOf(pages.get(`/consensus?done=${done}`))).toMatch(/class="note ok" role="status"/)
  })

  test('a refusal stands in the dialog', async () => {
    const pages = makePages()
    pages.app.refuse = refusal('STATE_CONFLICT', 'Without n2 two members may vote.')
    const response = await pages.post('/consensus/n2/demote', {})
    expect(response.status).toBe(409)
    expect(await response.text()).toMatch(/<dialog id="member".*role="alert".*Without n2 two members may vote\./s)
  })
})
