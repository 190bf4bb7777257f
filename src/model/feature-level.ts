// How new this software is in the terms of the log: a command type is proposed only when every member's level knows it.

/** Rises by one with each command type or meaning that older versions do not know. */
export const featureLevel = 1
