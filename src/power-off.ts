// Cuts the power of every VM of ours on this host: for a node that was removed, because others may start them.
import type { Host } from './member.ts'

const limitMs = 20_000
/** What was cut is looked at again: a call that was under way may have started it once more. */
const looksMax = 5

/** What cannot be reached is told in the log: then the operator has to look. */
export async function powerOff(host: Pick<Host, 'createHypervisor' | 'clock' | 'log'>): Promise<void> {
  const { createHypervisor, clock, log } = host
  const hypervisor = createHypervisor()
  const abort = new AbortController()
  const cancel = clock.after(limitMs, () => abort.abort())
  try {
    await hypervisor.start(abort.signal)
    for (let look = 1; ; look += 1) {
      const running = (await hypervisor.list()).filter((domain) => domain.state !== 'off' && domain.state !== 'crashed')
      if (running.length === 0) return
      if (look > looksMax) throw new Error(`${running.map((domain) => domain.domainName).join(', ')} run again and again`)
      await Promise.all(running.map(async (domain) => {
        await hypervisor.destroy(domain.id)
        log.warn('power cut: this node was removed from its cluster', { vmId: domain.id, domain: domain.domainName })
      }))
    }
  } catch (error) {
    log.error('VMs of a cluster that this node was removed from may run on', { error: String(error) })
  } finally {
    cancel()
    await hypervisor.stop()
  }
}
