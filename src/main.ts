// Entry point: `novacron daemon` runs a node, `novacron relay` is a part of one, everything else is the command line of a client.
import { existsSync } from 'node:fs'

const usageExit = 2

async function main(argv: readonly string[]): Promise<number> {
  // Started by the daemon alone: it speaks no human language.
  if (argv[0] === 'relay' && argv.length === 1) {
    const { runRelay } = await import('./drivers/relay/relay-process.ts')
    await runRelay(process.stdin, (report) => process.stdout.write(`${JSON.stringify(report)}\n`))
    process.exit(0)
  }
  if (argv[0] !== 'daemon') {
    const { runCli } = await import('./cli/program.ts')
    return runCli([...argv], { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: process.env })
  }
  // Imported here, as clients need neither it nor its parser: they start in half the time without.
  const { configPathDefault, loadConfig } = await import('./config.ts')
  const checks = argv.includes('--check')
  const path = configPath(argv.slice(1).filter((word) => word !== '--check'), configPathDefault)
  if (path === null) {
    process.stderr.write(`usage: novacron daemon [--config FILE] [--check]\n\nRuns this host's node. FILE is JSON; default ${configPathDefault}.\n--check reads FILE, loads the whole program, says what it found and ends.\n`)
    return argv.includes('--help') ? 0 : usageExit
  }
  const isThere = !checks || existsSync(path)
  if (!isThere && path !== configPathDefault) throw new Error(`${path} does not exist`)
  const config = await loadConfig(path)
  if (checks) {
    // What is compiled here lies in the cache for the first start, which is smaller and quicker for it.
    await Promise.all([import('./daemon.ts'), import('./drivers/crypto/authority.ts')])
    process.stdout.write(isThere ? `novacron: ${path} is valid\n` : `novacron: ${path} is not there: the defaults hold\n`)
    return 0
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const { runDaemon } = await import('./daemon.ts')
  await runDaemon(config, stop.signal)
  return 0
}

/** Null where the arguments are not understood. */
function configPath(argv: readonly string[], byDefault: string): string | null {
  if (argv.length === 0) return byDefault
  const [flag, value] = argv[0]?.startsWith('--config=') === true ? ['--config', argv[0].slice('--config='.length)] : argv
  return flag === '--config' && value !== undefined && argv.length <= 2 ? value : null
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`novacron: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
