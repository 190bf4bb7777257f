// What this host is while it is in no cluster: a certificate of its own, whose fingerprint people compare, and the notice it gives of itself.
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import type { Config } from './config.ts'
import { askNode } from './drivers/node-https.ts'
import { readOrNull, writePrivateFile } from './membership-file.ts'
import type { MdnsDiscovery } from './p2p/discovery.ts'
import type { ApplianceNotice, Discovery } from './ports/discovery.ts'

const fileName = 'appliance.json'
const days = 3650
/** Joining waits until the appliance has caught up. */
const inviteTimeoutMs = 75_000
const fileSchema = z.strictObject({ format: z.literal(1), name: z.string(), advertise: z.string(), certPem: z.string(), keyPem: z.string() })
const joinedSchema = z.object({ nodeId: z.string(), name: z.string() })

export type ApplianceCertificate = { readonly certPem: string; readonly keyPem: string; readonly fingerprint: string }

/** Kept, so that the fingerprint stays through restarts; another name or address gets another one. */
export async function openApplianceCertificate(config: Pick<Config, 'dataDir' | 'name' | 'advertise'>, nowMs: number): Promise<ApplianceCertificate> {
  const { dataDir, name, advertise } = config
  const path = join(dataDir, fileName)
  const text = await readOrNull(path)
  const kept = text === null ? null : fileSchema.parse(JSON.parse(text))
  if (kept !== null && kept.name === name && kept.advertise === advertise) return { ...kept, fingerprint: fingerprintOf(kept.certPem) }
  const { selfSigned } = await import('./drivers/crypto/authority.ts')
  const made = await selfSigned({ commonName: name, names: [name, 'localhost'], addresses: [...new Set([advertise, '127.0.0.1'])], days, nowMs })
  const file: z.output<typeof fileSchema> = { format: 1, name, advertise, certPem: made.certificatePem, keyPem: made.keyPem }
  await writePrivateFile(path, JSON.stringify(file))
  return { ...file, fingerprint: fingerprintOf(file.certPem) }
}

function fingerprintOf(certPem: string): string {
  return new X509Certificate(certPem).fingerprint256.replaceAll(':', '').toLowerCase()
}

export function discoveryOf(mdns: MdnsDiscovery): Discovery {
  return {
    appliances: () => mdns.appliances(),
    invite: async (appliance: ApplianceNotice, token: string) => joinedSchema.parse(await askNode({
      address: appliance.address, trust: { kind: 'fingerprint', sha256: appliance.fingerprint },
      method: 'POST', path: '/api/v1/appliance/join', authorization: `Bearer ${token}`, timeoutMs: inviteTimeoutMs,
    })),
  }
}
