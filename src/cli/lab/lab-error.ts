// What can go wrong in the lab, with the exit code that the command line ends with.

/** The command line's exit codes, `docs/errors.md`. */
const exitCodes = { failed: 1, usage: 2, notFound: 3, conflict: 5, unreachable: 6 } as const

export class LabError extends Error {
  readonly exitCode: number
  constructor(kind: keyof typeof exitCodes, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.name = 'LabError'
    this.exitCode = exitCodes[kind]
  }
}
