// A VM as it was typed into the form → the body of a create request, and the same as a command.
import { vmSizes, type VmDraft } from '../../../ui/views/vm-form.ts'

/** A number where the text is one; else the text, for the schema to refuse with its own words. */
export function numberOf(text: string): number | string {
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
}

/** "env=prod, team=web" → {labels}; nothing for an empty text. A word without "=" is a label without value. */
export function labelsOf(text: string): { readonly labels?: Readonly<Record<string, string>> } {
  const parts = text.split(',').map((part) => part.trim()).filter((part) => part !== '')
  if (parts.length === 0) return {}
  return {
    labels: Object.fromEntries(
      parts.map((part) => {
        const at = part.indexOf('=')
        return at < 0 ? [part, ''] : [part.slice(0, at).trim(), part.slice(at + 1).trim()]
      }),
    ),
  }
}

function sizeOf(draft: VmDraft): { readonly cpus: number | string; readonly memoryMiB: number | string } {
  if (Object.hasOwn(vmSizes, draft.size)) {
    const size = vmSizes[draft.size as keyof typeof vmSizes]
    return { cpus: size.cpus, memoryMiB: size.memoryMiB }
  }
  return { cpus: numberOf(draft.cpus), memoryMiB: numberOf(draft.memory) }
}

function apartOf(draft: VmDraft): readonly string[] {
  return draft.apart.split(',').map((part) => part.trim()).filter((part) => part !== '')
}

function placementOf(draft: VmDraft): { readonly placement?: object } {
  const apart = apartOf(draft)
  const antiAffinity = apart.map((part) => (part.endsWith('!') ? { label: part.slice(0, -1), required: true } : { label: part }))
  const placement = { ...(draft.node === '' ? {} : { node: draft.node }), ...(draft.strategy === 'pack' ? { strategy: 'pack' } : {}), ...(apart.length === 0 ? {} : { antiAffinity }) }
  return Object.keys(placement).length === 0 ? {} : { placement }
}

/** `spec` of a create request. */
export function specOf(draft: VmDraft): Record<string, unknown> {
  const disk = { name: 'root', ...(draft.image === '' ? {} : { image: draft.image }), ...(draft.disk === '' ? {} : { sizeGiB: numberOf(draft.disk) }) }
  return {
    ...sizeOf(draft),
    ...(draft.firmware === '' ? {} : { firmware: draft.firmware }),
    disks: draft.image === '' && draft.disk === '' ? [] : [disk],
    nics: draft.network === '' ? [] : [{ network: draft.network }],
    ...(draft.userData === '' ? {} : { cloudInit: { userData: draft.userData } }),
    ...placementOf(draft),
    runState: draft.start ? 'running' : 'stopped',
  }
}

/** The same on the command line. */
export function commandOf(draft: VmDraft): string {
  const { cpus, memoryMiB } = sizeOf(draft)
  const labels = Object.entries(labelsOf(draft.labels).labels ?? {}).flatMap(([key, value]) => ['--label', value === '' ? key : `${key}=${value}`])
  const words = [
    'novacron', 'vm', 'create', draft.name === '' ? 'NAME' : draft.name,
    ...(draft.project === 'default' ? [] : ['--project', draft.project]), ...(draft.image === '' ? [] : ['--image', draft.image]), '--cpus', String(cpus), '--memory', String(memoryMiB),
    ...(draft.disk === '' ? [] : ['--disk', draft.disk]), ...(draft.node === '' ? [] : ['--node', draft.node]), ...(draft.strategy === 'pack' ? ['--strategy', 'pack'] : []),
    ...apartOf(draft).flatMap((part) => ['--apart', part]), ...labels, ...(draft.start ? ['--start'] : []),
  ]
  return words.map(quoted).join(' ')
}

/** For a POSIX shell. */
function quoted(word: string): string {
  return /^[A-Za-z0-9_./=:@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
