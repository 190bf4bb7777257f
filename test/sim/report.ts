// What a seed did and whether that was enough, and the totals of many.

export type SeedReport = {
  readonly seed: number
  /** Null where everything held. */
  readonly failure: string | null
  readonly nodes: number
  readonly simulatedMs: number
  readonly wallMs: number
  readonly events: number
  readonly commands: { readonly acknowledged: number; readonly refused: number; readonly notDone: number; readonly unknown: number }
  readonly reads: number
  /** Histories that were checked for linearizability, and reads of a node's own state. */
  readonly registers: { readonly operations: number; readonly localReads: number }
  /** From the last fault to a leader that commits. */
  readonly recoveryTicks: number
  readonly faults: Readonly<Record<string, number>>
  readonly elections: number
  readonly leaderChanges: number
  readonly snapshots: number
  readonly vmStarts: number
  readonly vmStops: number
  readonly operations: number
  readonly migrations: Readonly<Record<string, number>>
  readonly entriesChecked: number
  readonly statesCompared: number
  readonly lastIndex: number
  readonly traceHash: string
}

/** What every seed has to do at least; a simulator that does nothing finds nothing. */
export const minimum = { nodes: 3, simulatedMs: 300_000, commands: 500, faults: 10, leaderChanges: 1, vmStarts: 1, vmStops: 1 }

export function commandsOf(report: SeedReport): number {
  const { acknowledged, refused, notDone, unknown } = report.commands
  return acknowledged + refused + notDone + unknown
}

export function faultsOf(report: SeedReport): number {
  return Object.values(report.faults).reduce((sum, count) => sum + count, 0)
}

/** Null where the seed did enough, else what was missing. */
export function shortcoming(report: SeedReport): string | null {
  const did = { ...report, commands: commandsOf(report), faults: faultsOf(report) }
  const missing = Object.entries(minimum).filter(([name, least]) => did[name as keyof typeof minimum] < least)
  if (missing.length === 0) return null
  return `the seed did too little: ${missing.map(([name, least]) => `${name} ${did[name as keyof typeof minimum]} of ${least}`).join(', ')}`
}

/** Many reports as lines for people. */
export function renderTotals(reports: readonly SeedReport[], wallMs: number): string {
  const sum = (of: (report: SeedReport) => number): number => reports.reduce((total, report) => total + of(report), 0)
  const faults: Record<string, number> = {}
  for (const report of reports) for (const [kind, count] of Object.entries(report.faults)) faults[kind] = (faults[kind] ?? 0) + count
  const migrations: Record<string, number> = {}
  for (const report of reports) for (const [kind, count] of Object.entries(report.migrations)) migrations[kind] = (migrations[kind] ?? 0) + count
  const failed = reports.filter((report) => report.failure !== null).map((report) => report.seed).toSorted((left, right) => left - right)
  const figures: readonly (readonly [string, string | number])[] = [
    ['seeds', `${reports.length}, failed ${failed.length}${failed.length > 0 ? ` (${failed.slice(0, 20).join(', ')})` : ''}`],
    ['simulated hours', (sum((report) => report.simulatedMs) / 3_600_000).toFixed(2)],
    ['wall seconds', `${(wallMs / 1000).toFixed(1)}, slowest seed ${(Math.max(0, ...reports.map((report) => report.wallMs)) / 1000).toFixed(1)}`],
    ['events', sum((report) => report.events)],
    ['client commands', `${sum(commandsOf)}: acknowledged ${sum((report) => report.commands.acknowledged)}, refused ${sum((report) => report.commands.refused)}, surely not done ${sum((report) => report.commands.notDone)}, unknown ${sum((report) => report.commands.unknown)}`],
    ['linearizable reads', sum((report) => report.reads)],
    ['register histories', `${sum((report) => report.registers.operations)} operations checked for linearizability, ${sum((report) => report.registers.localReads)} reads of a node's own state`],
    ['ticks to recover', `at most ${Math.max(0, ...reports.map((report) => report.recoveryTicks))}`],
    ['entries', `${sum((report) => report.lastIndex)} committed, ${sum((report) => report.entriesChecked)} applications checked, ${sum((report) => report.statesCompared)} states compared`],
    ['elections', `${sum((report) => report.elections)}, leader changes ${sum((report) => report.leaderChanges)}, snapshots installed ${sum((report) => report.snapshots)}`],
    ['virtual machines', `${sum((report) => report.vmStarts)} starts, ${sum((report) => report.vmStops)} stops, ${sum((report) => report.operations)} operations`],
    ['migrations', Object.entries(migrations).toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([kind, count]) => `${kind} ${count}`).join(', ')],
    ['faults', `${sum(faultsOf)}: ${Object.entries(faults).toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([kind, count]) => `${kind} ${count}`).join(', ')}`],
  ]
  const width = Math.max(...figures.map(([name]) => name.length))
  return figures.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')
}
