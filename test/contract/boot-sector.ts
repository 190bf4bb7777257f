// A guest of 84 bytes: echoes its serial port, and powers off at the power button or at the letter q.

/**
 * Real-mode code for 0x7c00. Enables the power button (PM1 enable, 0x602), prints '>', then for ever: powers off (PM1 control, 0x604)
 * when the button was pressed (PM1 status, 0x600), echoes what came on COM1 (0x3f8), and halts until the next timer tick.
 */
const code = 'ba0206b80001efbaf803b03eeeba0006edf6c4017517bafd03eca8017504fbf4ebebbaf803ec3c717403eeebe0ba0406b80020effaf4'

/** A raw disk of one MiB that boots the echo guest. */
export function echoDisk(): Buffer {
  const disk = Buffer.alloc(1024 * 1024)
  disk.set(Buffer.from(code, 'hex'))
  disk.set([0x55, 0xaa], 510)
  return disk
}
