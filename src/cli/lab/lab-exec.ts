// `lab exec`: runs a command inside a host, as if one were signed in there.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { novacronEnvironment } from './lab-cluster.ts'
import { LabError } from './lab-error.ts'
import { hostPid, programPath } from './lab-host.ts'
import { requireHost, type LabState } from './lab-state.ts'

/**
 * Runs `command` in the host's mount, UTS and network namespaces with this process's standard streams. `novacron` is on its
 * PATH and talks to the host as the lab's administrator.
 * @returns the command's exit code; 128 + n if signal n ended it.
 */
export async function execInHost(lab: LabState, name: string, command: readonly string[]): Promise<number> {
  const host = requireHost(lab, name)
  const pid = hostPid(lab, name)
  if (pid === undefined) throw new LabError('conflict', `host ${name} is off; 'novacron lab start ${name}' powers it on`)
  const environment = novacronEnvironment(lab, host)
  const child = spawn('nsenter', ['-t', String(pid), '-m', '-u', '-n', '--', ...command], {
    stdio: 'inherit',
    env: { ...environment, PATH: `${dirname(programPath)}:${environment.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin'}` },
  })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.on('error', reject)
  child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  return await promise
}
