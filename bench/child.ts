// A process of a bench's own that answers over IPC, run as the launcher runs the daemon.
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { launcherEnvironment, launcherFlags } from './facts.ts'

export type Child = {
  readonly pid: number
  /** The next message. @throws Error where the process ends instead, or says nothing for `timeoutMs` */
  next<T>(timeoutMs: number): Promise<T>
  /** Sends a message and waits for the answer to it: one question at a time. */
  ask<T>(message: object, timeoutMs: number): Promise<T>
  stop(): Promise<void>
}

/** @param options.file of this folder; `logPath` takes what it writes; `through` is a command that runs it, as of another network namespace */
export function startChild(options: { readonly file: string; readonly args: readonly string[]; readonly logPath: string; readonly through?: readonly string[] }): Child {
  const log = openSync(options.logPath, 'a')
  const [command = '', ...words] = [...(options.through ?? []), process.execPath, ...launcherFlags, join(import.meta.dirname, options.file), ...options.args]
  const child = spawn(command, words, { env: { ...process.env, ...launcherEnvironment }, stdio: ['ignore', log, log, 'ipc'] })
  const next = <T>(timeoutMs: number): Promise<T> => new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer)
      child.off('message', onMessage).off('exit', onExit)
    }
    const onMessage = (message: unknown): void => {
      settle()
      resolve(message as T)
    }
    const onExit = (code: number | null): void => {
      settle()
      reject(new Error(`${options.file} ended with ${code ?? 'a signal'}; see ${options.logPath}`))
    }
    const timer = setTimeout(() => {
      settle()
      reject(new Error(`${options.file} said nothing for ${timeoutMs} ms; see ${options.logPath}`))
    }, timeoutMs)
    child.on('message', onMessage).on('exit', onExit)
  })
  return {
    pid: child.pid ?? 0,
    next,
    ask(message, timeoutMs) {
      child.send(message)
      return next(timeoutMs)
    },
    stop: () => endChild(child),
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}
