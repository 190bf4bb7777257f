// Chooses KVM or TCG by running a guest instruction: a /dev/kvm that opens, and even creates machines, may still never run one.
import { execFile } from 'node:child_process'
import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Accelerator = 'kvm' | 'tcg'

const romBytes = 64 * 1024
/** Where the probe's code writes 0x10; isa-debug-exit then ends QEMU with (value << 1) | 1. */
const exitPort = 0xf4
const exitStatus = (0x10 << 1) | 1
const probeTimeoutMs = 2_500

/**
 * A guest that writes to a port which ends QEMU, run under a time limit; takes about 0.1 s where KVM works and 2.5 s at most.
 * @returns 'kvm' only where the guest's instructions ran
 */
export async function probeAccelerator(options: { readonly binary?: string; readonly device?: string } = {}): Promise<Accelerator> {
  try {
    await access(options.device ?? '/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  return (await runsGuest('kvm', options.binary ?? 'qemu-system-x86_64', probeTimeoutMs)) ? 'kvm' : 'tcg'
}

/** Whether a guest's first instructions run with this accelerator within the time. */
export async function runsGuest(accelerator: Accelerator, binary: string, timeoutMs: number): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), 'novacron-probe-'))
  try {
    const rom = join(directory, 'rom')
    await writeFile(rom, probeRom())
    const options = ['-accel', accelerator, '-machine', 'pc', '-m', '16', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-bios', rom]
    const device = `isa-debug-exit,iobase=${exitPort},iosize=1`
    return await new Promise<boolean>((resolve) => {
      execFile(binary, [...options, '-device', device], { timeout: timeoutMs, killSignal: 'SIGKILL' }, (error) => resolve(error?.code === exitStatus))
    })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/**
 * Firmware of our own. It begins as every guest does, in real mode at the reset vector, then enters protected mode, builds page tables,
 * enters long mode, returns from an interrupt frame (iretq), and counts to fifty million before it writes to the port. All of that is
 * needed: some hosts offer a KVM that interprets simple real-mode code but fails at the mode switches or crawls.
 */
function probeRom(): Buffer {
  const rom = Buffer.alloc(romBytes)
  rom.set(Buffer.from(probeCode.join(''), 'hex'))
  // The reset vector, sixteen bytes below the end: jmp to the beginning of the segment.
  rom.set([0xe9, 0x0d, 0x00], romBytes - 16)
  return rom
}

/** Machine code linked for 0xf0000, one line for each part. */
const probeCode = [
  // Real mode: cli; lgdt; set CR0.PE; far jump to 32-bit code.
  'fa2e660f0116d0000f20c00c010f22c066ea18000f000800',
  // Protected mode: flat data segments, stack at 0x8000.
  '66b810008ed88ec08ed0bc00800000',
  // Clears three pages at 0x1000 and identity-maps the first 2 MiB with one large page.
  'bf0010000031c0b9000c0000f3abc7050010000003200000c7050020000003300000c7050030000083000000',
  // CR4.PAE; CR3; EFER.LME; CR0.PG; far jump to 64-bit code.
  'b8200000000f22e0b8001000000f22d8b9800000c00f3280cc010f300f20c00d000000800f22c0ea81000f001800',
  // Long mode: stack; push an interrupt frame; iretq.
  'bc008000006a1068008000006a026a186898000f0048cf',
  // mov ecx, 50000000; dec ecx; jnz; mov dx, 0xf4; mov al, 0x10; out dx, al; hlt; padding.
  'b980f0fa02ffc975fc66baf400b010eef40f1f8000000000',
  // GDT: null, 32-bit code, data, 64-bit code; its pointer.
  '0000000000000000ffff0000009bcf00ffff00000093cf00ffff0000009baf001f00b0000f00',
] as const
