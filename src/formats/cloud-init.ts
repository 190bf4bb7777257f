// cloud-init's NoCloud seed: the files that the guest finds on a disk labelled cidata.
import type { CloudInit } from '../model/vm.ts'

export const seedVolumeLabel = 'cidata'

export type SeedFile = { readonly name: string; readonly text: string }

/** Files in the order they are written. JSON is YAML, so nothing in a name can break out. */
export function renderSeedFiles(seed: CloudInit & { readonly hostname: string; readonly instanceId: string }): readonly SeedFile[] {
  const files = [
    { name: 'meta-data', text: `${JSON.stringify({ 'instance-id': seed.instanceId, 'local-hostname': seed.hostname })}\n` },
    { name: 'user-data', text: seed.userData ?? '#cloud-config\n{}\n' },
  ]
  if (seed.networkConfig !== undefined) files.push({ name: 'network-config', text: seed.networkConfig })
  return files
}
