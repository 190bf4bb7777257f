// Kept by a member that was told that its cluster was founded anew without it: it takes no part any more, also after a restart.
import { join } from 'node:path'
import { z } from 'zod'
import { readOrNull, writePrivateFile } from './membership-file.ts'

export const supersededFileName = 'superseded.json'
const schema = z.strictObject({ format: z.literal(1), /** Node id and name of who said so. */ byId: z.string(), by: z.string(), epoch: z.number().int(), atMs: z.number() })
export type Superseded = Omit<z.output<typeof schema>, 'format'>

/** Null where nobody has said so. */
export async function readSuperseded(dataDir: string): Promise<Superseded | null> {
  const text = await readOrNull(join(dataDir, supersededFileName))
  return text === null ? null : schema.parse(JSON.parse(text))
}

export async function writeSuperseded(dataDir: string, superseded: Superseded): Promise<void> {
  await writePrivateFile(join(dataDir, supersededFileName), JSON.stringify({ format: 1, ...superseded }))
}

export function supersededReason({ by, epoch }: Superseded): string {
  return `the cluster was founded anew on ${by} at epoch ${epoch}, without this node: it takes no part any more. Its VMs run on. Run "novacron cluster leave" on it, which ends them and puts its data aside; then it can join anew`
}
