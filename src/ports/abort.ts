// Lets the pure rooms name AbortSignal, whose real declaration comes with the runtime's types.
export {}
declare global {
  interface AbortSignal {
    readonly aborted: boolean
  }
}
