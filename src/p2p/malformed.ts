// The fault of bytes from a peer that follow no format of ours: whoever sent them loses the stream.

/** Thrown by every decoder of this room; the stream that carried the bytes is closed. */
export class Malformed extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Malformed'
  }
}
