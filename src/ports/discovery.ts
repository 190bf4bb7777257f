// Appliances on the local network that are in no cluster: they say that they are there, members see them and may invite them.

/** What an unclustered appliance says of itself; none of it is proven but the fingerprint, by whoever holds its key. */
export type ApplianceNotice = {
  readonly name: string
  /** host:port of HTTPS. */
  readonly address: string
  /** SHA-256 of the certificate that it serves with, lower-case hex: what people compare. */
  readonly fingerprint: string
  readonly version: string
}
/** `ageMs`: since it was last heard of. */
export type Appliance = ApplianceNotice & { readonly ageMs: number }

/** A member's side. */
export interface Discovery {
  /** By name; at most `appliancesMax`, none older than `applianceAgeMsMax`. */
  appliances(): readonly Appliance[]
  /**
   * Hands a join token to the appliance, and to nobody else, and waits until it has joined.
   * @throws PEER_UNREACHABLE where it does not answer or its certificate is another one; else what it answered
   */
  invite(appliance: ApplianceNotice, token: string): Promise<{ readonly nodeId: string; readonly name: string }>
}

export const appliancesMax = 64
export const applianceAgeMsMax = 20_000
