// /metrics: what Prometheus' own checker says of it.
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve, type Served } from './harness.ts'

let served: Served
beforeAll(async () => { served = await serve() })
afterAll(() => served.http.stop())

const check = (text: string) => spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })

test('promtool finds nothing, for the node and for the cluster', async () => {
  await served.ask('/api/v1/vms')
  await served.ask('/api/v1/nothing')
  for (const scope of ['', '?scope=node', '?scope=cluster']) {
    const { status, text, headers } = await served.ask(`/metrics${scope}`)
    expect(status).toBe(200)
    expect(headers['content-type']).toContain('text/plain')
    const { stdout, stderr, status: code } = check(text)
    expect(`${stdout}${stderr}`).toBe('')
    expect(code).toBe(0)
  }
})

test('promtool is heard', () => {
  expect(check('# TYPE bad_total gauge\nbad_total 1\n').status).not.toBe(0)
})

test('holds the rooms\' figures, the process\'s and requests by route, each with the node', async () => {
  await served.ask('/api/v1/vms/some-secret-name')
  const { text } = await served.ask('/metrics')
  expect(text).toContain('novacron_vms{node="n1",phase="running"} 2')
  expect(text).toContain('novacron_raft_entries_applied_total{node="n1"} 10')
  expect(text).toMatch(/novacron_process_resident_memory_bytes\{node="n1"\} \d{7,}/)
  expect(text).toMatch(/novacron_http_request_duration_seconds_count\{node="n1",method="GET",route="\/api\/v1\/vms\/\{ref\}",status="404"\} \d+/)
  expect(text).not.toContain('some-secret-name')
  for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) expect(line).toContain('node="n1"')
})

test('the cluster\'s are those that were gossiped', async () => {
  expect((await served.ask('/metrics?scope=cluster')).text).toContain('novacron_node_cpu_ratio{node="n2"} 0.5')
  expect((await served.ask('/metrics')).text).not.toContain('novacron_node_cpu_ratio')
  expect(await served.ask('/metrics?scope=all')).toMatchObject({ status: 422 })
})

test('needs a credential', async () => {
  expect((await served.ask('/metrics', { token: null })).status).toBe(401)
})
