// The one fault that the simulated network tells of by itself.
import { OperationalError } from '../../model/error.ts'

/** @param sent false: the request surely never left this node */
export function unreachable(nodeId: string, sent: boolean): OperationalError {
  return new OperationalError('PEER_UNREACHABLE', `Node ${nodeId} does not answer. Check that it runs and that the network between the nodes works.`, { data: { nodeId, sent } })
}
