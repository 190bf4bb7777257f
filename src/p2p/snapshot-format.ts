// Bounds and answers that the sender and the receiver of a snapshot agree on.
import { z } from 'zod'

export const snapshotBytesMax = 256 * 1024 * 1024
export const snapshotChunkBytes = 256 * 1024
export const snapshotAnswerBytesMax = 2048
/** No step of a transfer (one chunk, one answer) may take longer. */
export const stepMsMax = 10_000

export const snapshotAnswerSchema = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), reason: z.string().max(1024) }),
])
