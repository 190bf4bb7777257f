// The program's log: one JSON line each on standard output, for the journal.
import type { Log, LogFields } from '../../ports/log.ts'

const levels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof levels)[number]

/** @param write takes a whole line */
export function createLog(options: { readonly level: LogLevel; readonly fields?: LogFields }, write: (line: string) => void = (line) => void process.stdout.write(line)): Log {
  const least = levels.indexOf(options.level)
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    if (levels.indexOf(level) < least) return
    write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...options.fields, ...fields })}\n`)
  }
  return {
    debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'),
    child: (fields) => createLog({ ...options, fields: { ...options.fields, ...fields } }, write),
  }
}
