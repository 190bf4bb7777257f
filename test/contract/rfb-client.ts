// A viewer of screens for tests: the RFB 3.8 handshake without security, raw pictures, key presses (RFC 6143).
import type { ByteStream } from '../../src/ports/transport.ts'

export class RfbClient {
  readonly #stream: ByteStream
  readonly #reader: AsyncIterator<Uint8Array>
  #waiting = Buffer.alloc(0)
  version = ''
  name = ''
  width = 0
  height = 0

  constructor(stream: ByteStream) {
    this.#stream = stream
    this.#reader = stream.readable[Symbol.asyncIterator]()
  }

  async handshake(): Promise<void> {
    this.version = (await this.#read(12)).toString('latin1')
    await this.#stream.write(Buffer.from('RFB 003.008\n'))
    const types = await this.#read((await this.#read(1))[0] ?? 0)
    if (!types.includes(1)) throw new Error(`the screen asks for security of types ${[...types].join()}`)
    await this.#stream.write(Buffer.from([1]))
    if ((await this.#read(4)).readUInt32BE() !== 0) throw new Error('the screen refused')
    // Shared: nobody else is thrown out.
    await this.#stream.write(Buffer.from([1]))
    const init = await this.#read(24)
    this.width = init.readUInt16BE(0)
    this.height = init.readUInt16BE(2)
    this.name = (await this.#read(init.readUInt32BE(20))).toString()
    await this.#stream.write(Buffer.from([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]))
    await this.#stream.write(Buffer.from([2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21]))
  }

  /** The whole screen, four bytes a pixel, rows from the top. */
  async picture(): Promise<Buffer> {
    for (;;) {
      const request = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0])
      request.writeUInt16BE(this.width, 6)
      request.writeUInt16BE(this.height, 8)
      await this.#stream.write(request)
      const picture = await this.#update()
      if (picture !== null) return picture
    }
  }

  /** A key down and up. @param keysym as X11 numbers them; ASCII is itself */
  async press(keysym: number): Promise<void> {
    for (const down of [1, 0]) {
      const event = Buffer.from([4, down, 0, 0, 0, 0, 0, 0])
      event.writeUInt32BE(keysym, 4)
      await this.#stream.write(event)
    }
  }

  /** Reads on until the screen has ended. */
  async ended(): Promise<void> {
    while ((await this.#reader.next()).done !== true) continue
  }

  /** Null where the screen has another size now. */
  async #update(): Promise<Buffer | null> {
    const picture = Buffer.alloc(this.width * this.height * 4)
    let resized = false
    for (let type = (await this.#read(1))[0]; type !== 0; type = (await this.#read(1))[0]) {
      // A bell; a cut text.
      if (type === 3) await this.#read((await this.#read(7)).readUInt32BE(3))
      else if (type !== 2) throw new Error(`the screen sent a message of type ${type}`)
    }
    for (let left = (await this.#read(3)).readUInt16BE(1); left > 0; left--) {
      const head = await this.#read(12)
      const [x, y, width, height] = [head.readUInt16BE(0), head.readUInt16BE(2), head.readUInt16BE(4), head.readUInt16BE(6)]
      if (head.readInt32BE(8) === -223) {
        ;[this.width, this.height, resized] = [width, height, true]
        continue
      }
      const pixels = await this.#read(width * height * 4)
      for (let row = 0; row < height && !resized; row++) pixels.copy(picture, ((y + row) * this.width + x) * 4, row * width * 4, (row + 1) * width * 4)
    }
    return resized ? null : picture
  }

  async #read(bytes: number): Promise<Buffer> {
    while (this.#waiting.length < bytes) {
      const { value, done } = await this.#reader.next()
      if (done === true) throw new Error('the screen ended')
      this.#waiting = Buffer.concat([this.#waiting, value])
    }
    const read = this.#waiting.subarray(0, bytes)
    this.#waiting = this.#waiting.subarray(bytes)
    return read
  }
}

/** A viewer that has shaken hands. */
export async function openRfb(stream: ByteStream): Promise<RfbClient> {
  const client = new RfbClient(stream)
  await client.handshake()
  return client
}
