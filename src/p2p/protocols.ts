// The protocol ids that our streams are opened with; append only, never reused.

export const raftProtocol = '/novacron/raft/1'
export const requestProtocol = '/novacron/request/1'
export const snapshotProtocol = '/novacron/snapshot/1'
export const streamProtocol = '/novacron/stream/1'
