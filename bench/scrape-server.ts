// The node of scrape.ts, in a process of its own: many simulated VMs, measured as on a real host, behind the real HTTPS server.
import { join } from 'node:path'
import { selfSigned } from '../src/drivers/crypto/authority.ts'
import { systemClock } from '../src/drivers/host/clock.ts'
import { createLog } from '../src/drivers/host/log.ts'
import { LinuxMeter } from '../src/drivers/host/meter.ts'
import { loadAssets } from '../src/http/assets.ts'
import { startHttp } from '../src/http/server.ts'
import { uiRoutes } from '../src/http/ui/routes.ts'
import { smallControl } from '../test/unit/http/small-app.ts'
import { startRealNode } from '../test/unit/http/real-node.ts'

/** What the parent gets once the server listens. */
export type Serving = { readonly url: string; readonly ca: string; readonly token: string }

const [directory = '', vms = '1000'] = process.argv.slice(2)
const meter = new LinuxMeter({ storage: async () => ({ usedBytes: 1, totalBytes: 2 }), stateDirectory: directory })
const real = await startRealNode({ cpus: Number(vms) * 2, memoryMiB: Number(vms) * 256, meter })
const { certificatePem: certPem, keyPem } = await selfSigned({ commonName: 'n1', names: ['localhost'], addresses: ['127.0.0.1'], days: 1, nowMs: Date.now() })
const http = await startHttp({
  app: real.node.app, control: smallControl, host: '127.0.0.1', port: 0, tls: { certPem, keyPem }, clock: systemClock,
  log: createLog({ level: 'info' }), version: '0.1.0', assets: loadAssets(join(import.meta.dirname, '../ui/assets')), pages: uiRoutes,
})
process.send?.({ url: `https://127.0.0.1:${http.port}`, ca: certPem, token: real.token } satisfies Serving)
process.on('disconnect', () => process.exit(0))
