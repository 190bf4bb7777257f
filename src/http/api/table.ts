// The table of all API routes.
import type { Route } from '../route.ts'
import { clusterBackupRoutes } from './cluster-backup.ts'
import { clusterRoutes } from './cluster.ts'
import { consoleRoutes } from './console.ts'
import { eventRoutes, type WatchEvents } from './events.ts'
import { imageRoutes } from './images.ts'
import { memberRoutes } from './members.ts'
import { metricsRoutes } from './metrics.ts'
import { migrationRoutes } from './migrations.ts'
import { nodeRoutes } from './nodes.ts'
import { operationRoutes } from './operations.ts'
import { projectRoutes } from './projects.ts'
import { roleRoutes } from './roles.ts'
import { sessionRoutes } from './session.ts'
import { sessionsRoutes } from './sessions.ts'
import { supportBundleRoutes } from './support-bundle.ts'
import { tokenRoutes } from './tokens.ts'
import { uploadRoutes } from './uploads.ts'
import { userRoutes } from './users.ts'
import { vmRoutes } from './vms.ts'

export function routeTable(watchEvents: WatchEvents): readonly Route[] {
  return [
    ...sessionRoutes, ...vmRoutes, ...migrationRoutes, ...consoleRoutes, ...imageRoutes, ...uploadRoutes, ...nodeRoutes, ...clusterRoutes, ...memberRoutes, ...clusterBackupRoutes, ...supportBundleRoutes, ...metricsRoutes, ...operationRoutes, ...eventRoutes(watchEvents), ...userRoutes, ...roleRoutes, ...projectRoutes, ...tokenRoutes, ...sessionsRoutes,
  ]
}
