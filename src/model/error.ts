// Operating faults: what can go wrong though no code is wrong, as a closed union of codes with the HTTP status each one maps to.
import { endOnce } from './sentence.ts'

/**
 * Code → HTTP status and title. The one table: `docs/errors.md` explains each code, a test holds both together.
 * Append only; a code's meaning never changes.
 */
export const errorTable = {
  // Input
  INVALID: { status: 422, title: 'The input is not valid' },
  MALFORMED: { status: 400, title: 'The request cannot be read' },
  BODY_TOO_LARGE: { status: 413, title: 'The request body is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The content type is not supported' },
  NOT_ACCEPTABLE: { status: 406, title: 'No representation fits' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The method is not allowed here' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The request headers are too large' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time' },
  // Credentials and rights
  UNAUTHENTICATED: { status: 401, title: 'Sign in first' },
  SIGN_IN_FAILED: { status: 401, title: 'User name or password is wrong' },
  TOO_MANY_ATTEMPTS: { status: 429, title: 'Too many attempts' },
  FORBIDDEN: { status: 403, title: 'Not allowed' },
  CROSS_ORIGIN: { status: 403, title: 'The request came from another site' },
  TICKET_INVALID: { status: 401, title: 'The console ticket is not valid' },
  TOKEN_INVALID: { status: 403, title: 'The join token is not valid' },
  TOKEN_EXPIRED: { status: 403, title: 'The join token has expired' },
  TOKEN_USED: { status: 403, title: 'The join token was used already' },
  TOKEN_OTHER_CLUSTER: { status: 403, title: 'The join token belongs to another cluster' },
  // Resources
  NOT_FOUND: { status: 404, title: 'Not found' },
  NAME_TAKEN: { status: 409, title: 'The name is taken' },
  REVISION_STALE: { status: 409, title: 'Somebody changed it in between' },
  PRECONDITION_FAILED: { status: 412, title: 'If-Match does not match' },
  IDEMPOTENCY_MISMATCH: { status: 422, title: 'The Idempotency-Key was used with another request' },
  STATE_CONFLICT: { status: 409, title: 'The present state does not allow this' },
  OPERATION_ACTIVE: { status: 409, title: 'Another operation is running on it' },
  IN_USE: { status: 409, title: 'It is in use' },
  REFERENCE_MISSING: { status: 422, title: 'Something named here does not exist' },
  NO_FIT: { status: 422, title: 'It fits on no node' },
  LIMIT_REACHED: { status: 409, title: 'A limit is reached' },
  EVENTS_GONE: { status: 410, title: 'Events that old are gone; list anew' },
  ALREADY_MEMBER: { status: 409, title: 'This node is in a cluster already' },
  NOT_CLUSTERED: { status: 409, title: 'This node is in no cluster' },
  CLUSTER_SUPERSEDED: { status: 403, title: 'The cluster was founded anew without this node' },
  BACKUP_DAMAGED: { status: 422, title: 'The backup is damaged' },
  BACKUP_NEWER: { status: 422, title: 'The backup is of a newer version' },
  PASSPHRASE_WRONG: { status: 422, title: 'The passphrase does not open the backup' },
  NODE_REMOVED: { status: 403, title: 'The node was removed from the cluster' },
  // Cluster
  NO_QUORUM: { status: 503, title: 'No quorum: surely not done' },
  OUTCOME_UNKNOWN: { status: 503, title: 'The outcome is unknown; try again with the same Idempotency-Key' },
  OVERLOADED: { status: 503, title: 'Too much at once' },
  PEER_UNREACHABLE: { status: 502, title: 'The other node does not answer' },
  STATE_DIVERGED: { status: 503, title: "This node's state is not the cluster's; ask another node" },
  INTERNAL: { status: 500, title: 'A fault in NovaCron itself' },
  SECRET_UNREADABLE: { status: 500, title: 'A secret cannot be opened' },
  STOPPING: { status: 503, title: 'This node is shutting down' },
  // Images and storage
  IMAGE_UNREADABLE: { status: 422, title: 'The file is no disk image that can be used' },
  IMAGE_CHECKSUM: { status: 422, title: 'The checksum does not match' },
  IMAGE_UNAVAILABLE: { status: 503, title: 'The image cannot be fetched now' },
  SOURCE_REFUSED: { status: 422, title: 'Nothing is fetched from that address' },
  SOURCE_FAILED: { status: 502, title: 'The address did not give the file' },
  STORAGE_FULL: { status: 507, title: 'The storage is full' },
  STORAGE_FAILED: { status: 500, title: 'The storage failed' },
  LOG_DAMAGED: { status: 500, title: 'The Raft log is damaged' },
  // Hypervisor
  HYPERVISOR_UNREACHABLE: { status: 503, title: 'libvirt does not answer' },
  HYPERVISOR_REFUSED: { status: 500, title: 'libvirt refused' },
  HYPERVISOR_TIMEOUT: { status: 504, title: 'libvirt did not answer in time' },
  DOMAIN_MISSING: { status: 404, title: 'The domain does not exist on this host' },
  AGENT_UNAVAILABLE: { status: 409, title: 'The guest agent does not answer' },
  EPOCH_STALE: { status: 409, title: 'A newer owner has been seen' },
  MIGRATION_FAILED: { status: 500, title: 'The migration came to nothing' },
  SCREEN_MISSING: { status: 409, title: 'The VM was started without a screen' },
  CONSOLE_BUSY: { status: 409, title: 'The console cannot be opened' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errorTable

/** One wrong field: `path` as in the request body, dotted (`spec.disks.0.name`). */
export type FieldError = { readonly path: string; readonly message: string }

export type ErrorData = {
  readonly fields?: readonly FieldError[]
  /** Whole seconds after which trying again makes sense. */
  readonly retryAfterSeconds?: number
  readonly [key: string]: unknown
}

/** An operating fault. `message` is the sentence a person reads: what happened, what was not affected, what to do; each sentence ends once, whatever it was put together of. */
export class OperationalError extends Error {
  readonly code: ErrorCode
  readonly data: ErrorData
  constructor(code: ErrorCode, message: string, options: { data?: ErrorData; cause?: unknown } = {}) {
    super(endOnce(message), options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'OperationalError'
    this.code = code
    this.data = options.data ?? {}
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorTable, text)
}
