// Where the files of a lab host lie, and the configuration of its libvirtd and its daemon.
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostDirectory, type LabHost, type LabState } from './lab-state.ts'

/** Paths of one host, absolute. Everything but `run` outlives a power cycle. */
export function hostPaths(lab: LabState, name: string) {
  const root = hostDirectory(lab.dir, name)
  return {
    root,
    data: join(root, 'data'),
    run: join(root, 'run'),
    config: join(root, 'node.json'),
    controlSocket: join(root, 'data', 'control.sock'),
    libvirtSocket: join(root, 'run', 'libvirt', 'libvirt-sock'),
    console: join(root, 'log', 'host.log'),
    daemonLog: join(root, 'log', 'novacron.log'),
  } as const
}

/** Writes the host's files as they are at power-on: `/run` empty, everything that lasts left as it is. */
export function writeHostFiles(lab: LabState, host: LabHost): void {
  const paths = hostPaths(lab, host.name)
  rmSync(paths.run, { recursive: true, force: true })
  for (const directory of ['run', 'var', 'log', 'cache', 'data']) mkdirSync(join(paths.root, directory), { recursive: true })
  mkdirSync(paths.data, { recursive: true, mode: 0o700 })
  for (const directory of ['qemu', 'storage', 'nwfilter', 'secrets', 'hooks']) mkdirSync(join(paths.root, 'etc', directory), { recursive: true })
  writeFileSync(join(paths.root, 'etc', 'libvirtd.conf'), libvirtdConf(lab, host))
  writeFileSync(join(paths.root, 'etc', 'qemu.conf'), qemuConf(host))
  writeFileSync(join(paths.root, 'etc', 'libvirt.conf'), '')
  writeHostsFile(lab, host)
  writeFileSync(paths.config, `${JSON.stringify(nodeConfig(lab, host), null, 2)}\n`)
}

/** Tells a host, on or off, the names of all others. Written in place: a host that is on has this very file mounted. */
export function writeHostsFile(lab: LabState, host: LabHost): void {
  writeFileSync(join(hostPaths(lab, host.name).root, 'hosts'), hostsFile(lab))
}

/** The daemon's configuration (`novacron daemon --config`), as a path inside and outside the host alike. */
export function nodeConfig(lab: LabState, host: LabHost) {
  return {
    name: host.name,
    dataDir: hostPaths(lab, host.name).data,
    listen: { host: '0.0.0.0', port: lab.port },
    peer: { host: host.address, port: 7400 },
    advertise: host.address,
    libvirt: { socket: '/run/libvirt/libvirt-sock' },
    accelerator: 'tcg',
    logLevel: 'info',
    lab: true,
  } as const
}

/** Every host resolves the name of every other: libvirt's migration asks for it. */
export function hostsFile(lab: LabState): string {
  return ['127.0.0.1 localhost', ...lab.hosts.map((host) => `${host.address} ${host.name}`), ''].join('\n')
}

// Equal host ids refuse migration; libvirt also refuses ids of one repeated digit.
function hostUuid(lab: LabState, host: LabHost): string {
  const hex = createHash('sha256').update(`${lab.id}/${host.name}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function libvirtdConf(lab: LabState, host: LabHost): string {
  return `listen_tls = 0
listen_tcp = 0
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
host_uuid = "${hostUuid(lab, host)}"
max_client_requests = 50
max_workers = 100
admin_min_workers = 1
log_level = 3
log_outputs = "3:file:/var/log/libvirt/libvirtd.own.log"
`
}

// Names of cgroups would collide between hosts of one machine; QEMU's own sandbox and libvirt's per-domain mounts need more than a namespace gives.
function qemuConf(host: LabHost): string {
  return `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
security_default_confined = 0
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
stdio_handler = "file"
migration_address = "0.0.0.0"
migration_host = "${host.address}"
max_core = 0
`
}
