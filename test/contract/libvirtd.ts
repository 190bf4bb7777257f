// A private libvirtd for tests: own mount and process namespaces, so that nothing of the machine's is touched and nothing is left.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'

const folders = ['run', 'var', 'log', 'cache', 'etc/qemu', 'dev-shm'] as const

/** The daemon is killed, stopped and started at will; QEMU processes live on until `close`. */
export class PrivateLibvirtd {
  readonly directory = mkdtempSync(join(tmpdir(), 'novacron-libvirtd-'))
  readonly socketPath = join(this.directory, 'run', 'libvirt-sock')
  /** Default root. With another one libvirt gives QEMU's files to it, as on an appliance. */
  readonly #qemuUser: string
  #holder: ChildProcess | null = null
  #entry: ChildProcess | null = null

  constructor(options: { readonly qemuUser?: string } = {}) {
    this.#qemuUser = options.qemuUser ?? 'root'
  }

  async open(): Promise<void> {
    chmodSync(this.directory, 0o711)
    for (const folder of folders) mkdirSync(join(this.directory, folder), { recursive: true })
    writeFileSync(join(this.directory, 'etc', 'libvirtd.conf'), libvirtdConf(this.directory))
    writeFileSync(join(this.directory, 'etc', 'qemu.conf'), qemuConf(this.#qemuUser))
    writeFileSync(join(this.directory, 'etc', 'libvirt.conf'), '')
    writeFileSync(join(this.directory, 'hold.sh'), holdScript(this.directory))
    this.#holder = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'unshare', '-m', '-u', '-p', '-f', '--kill-child=KILL', '--propagation', 'private', 'bash', join(this.directory, 'hold.sh')],
      { stdio: 'ignore' },
    )
    await until(() => existsSync(join(this.directory, 'held')), 'the namespaces of the private libvirtd')
    await this.startDaemon()
  }

  /** Where this process finds what libvirtd has at a path. */
  localPath(path: string): string {
    return path.replace(/^\/var\/lib\/libvirt\//, `${join(this.directory, 'var')}/`).replace(/^\/run\/libvirt\//, `${join(this.directory, 'run')}/`)
  }

  async startDaemon(): Promise<void> {
    const inside = childOf(this.#holder!.pid!)
    rmSync(this.socketPath, { force: true })
    this.#entry = spawn('nsenter', ['-t', String(inside), '-m', '-u', '-p', '/usr/sbin/libvirtd', '--pid-file', join(this.directory, 'libvirtd.pid')], {
      stdio: 'ignore',
    })
    await until(() => answers(this.socketPath), 'the private libvirtd')
  }

  /** As a crash would. */
  async killDaemon(): Promise<void> {
    const entry = this.#entry!
    const gone = once(entry, 'exit')
    process.kill(this.daemonPid(), 'SIGKILL')
    await gone
    rmSync(join(this.directory, 'libvirtd.pid'), { force: true })
  }

  stopDaemon(): void {
    process.kill(this.daemonPid(), 'SIGSTOP')
  }

  /** nsenter stops together with its child. */
  continueDaemon(): void {
    process.kill(this.daemonPid(), 'SIGCONT')
    process.kill(this.#entry!.pid!, 'SIGCONT')
  }

  daemonPid(): number {
    return childOf(this.#entry!.pid!)
  }

  /** Names the mount namespace that this libvirtd, or another process, lives in. */
  namespace(pid = childOf(this.#holder!.pid!)): string {
    return readlinkSync(`/proc/${pid}/ns/mnt`)
  }

  /** Kills everything in the namespaces and removes the directory. */
  async close(): Promise<void> {
    const holder = this.#holder
    if (holder !== null && holder.exitCode === null && holder.signalCode === null) {
      const gone = once(holder, 'exit')
      process.kill(childOf(holder.pid!), 'SIGKILL')
      await gone
    }
    const entry = this.#entry
    if (entry !== null && entry.exitCode === null && entry.signalCode === null) {
      const gone = once(entry, 'exit')
      try {
        process.kill(entry.pid!, 'SIGCONT')
      } catch {
        // It is gone; its exit has not been heard of yet.
      }
      await gone
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}

function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  const first = Number(children[0])
  if (!Number.isInteger(first) || first <= 1) throw new Error(`process ${pid} has no child`)
  return first
}

async function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Waits for a condition with a bound; the condition, not the clock, decides. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await sleep(20)
  }
}

function libvirtdConf(directory: string): string {
  return [
    'listen_tls = 0', 'listen_tcp = 0', 'auth_unix_rw = "none"', 'auth_unix_ro = "none"', 'unix_sock_rw_perms = "0700"',
    `host_uuid = "${randomUUID()}"`, 'log_level = 3', `log_outputs = "3:file:${directory}/log/libvirtd.log"`, 'max_client_requests = 50', '',
  ].join('\n')
}

function qemuConf(user: string): string {
  return [
    `user = "${user}"`, `group = "${user}"`, `dynamic_ownership = ${user === 'root' ? 0 : 1}`, 'remember_owner = 0', 'security_driver = "none"', 'namespaces = []',
    'cgroup_controllers = []', 'seccomp_sandbox = 0', 'stdio_handler = "file"', 'max_core = 0', '',
  ].join('\n')
}

/** A private /dev without /dev/kvm (libvirtd would probe it and hang where it does), private libvirt directories, then waits for ever. */
function holdScript(directory: string): string {
  return `set -e
mount --make-rprivate /
# libvirt refuses to migrate to a host of the same name.
hostname ${basename(directory).toLowerCase().replace(/[^a-z0-9-]/g, '-')}
mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt
mount --bind ${directory}/run /run/libvirt
# libvirt locks consoles by the name of their terminal, which another libvirtd's may have too.
mkdir -p /run/lock
mount -t tmpfs -o mode=1777 lock /run/lock
mount --bind ${directory}/var /var/lib/libvirt
mount --bind ${directory}/log /var/log/libvirt
mount --bind ${directory}/cache /var/cache/libvirt
mount --bind ${directory}/etc /etc/libvirt
mount --bind /dev/shm ${directory}/dev-shm
mount -t tmpfs -o mode=755 dev /dev
mkdir /dev/pts /dev/shm /dev/net
# A fresh one: QEMU as another user may not make terminals in the machine's.
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /dev/pts
mount --bind ${directory}/dev-shm /dev/shm
umount ${directory}/dev-shm
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
mknod -m666 /dev/null c 1 3
mknod -m666 /dev/zero c 1 5
mknod -m666 /dev/full c 1 7
mknod -m666 /dev/random c 1 8
mknod -m666 /dev/urandom c 1 9
mknod -m666 /dev/tty c 5 0
mknod -m600 /dev/net/tun c 10 200
mount -t proc proc /proc
: > ${directory}/held
# Waiting reaps the orphans of the namespace: libvirt waits for its probing QEMUs to be gone.
while :; do sleep 3600 & wait $! || :; done
`
}
