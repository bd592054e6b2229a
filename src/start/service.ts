import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import type { Running } from '../compose/foundation.ts'
import { type Config, ConfigInvalid, readConfig } from '../config.ts'
import { isDatabaseTrouble } from '../domain/database-trouble.ts'
import { EmbeddedPostgresError } from '../embedded/postgres-error.ts'
import { createLogger } from '../logger.ts'
import { SchemaMismatch } from '../postgres/migrate.ts'
import { KeyFileInvalid } from '../vault/key-file.ts'
import { giveBackWhatStartingTook, keepMemoryToOurselves } from './memory.ts'

/** Parts started so far; they are closed in the opposite order, whether the start succeeded or not. */
export class Parts {
  readonly #layers: Running[][] = []

  async add<T extends Running>(starting: Promise<T>): Promise<T> {
    const part = await starting
    this.#layers.push([part])
    return part
  }

  /** The same, to be closed together with the one before: neither uses the other's time to stop. */
  async addBeside<T extends Running>(starting: Promise<T>): Promise<T> {
    const part = await starting
    this.#layers.at(-1)?.push(part)
    return part
  }

  async close(): Promise<void> {
    for (let layer = this.#layers.pop(); layer; layer = this.#layers.pop()) {
      await Promise.all(layer.map((part) => part.close()))
    }
  }
}

/**
 * Runs one process of the service until SIGTERM or SIGINT, which end it cleanly with 0; a second signal ends it at once. What
 * has not ended in time is left: leases run out by themselves.
 */
export const runService = (
  options: { readonly split: boolean },
  start: (config: Config, log: Logger, parts: Parts) => Promise<void>
): Promise<void> =>
  runOnce(options, async (config, log) => {
    const parts = new Parts()
    const grace = {
      delay: config.SHUTDOWN_SECONDS * 1000,
      logger: false,
      onSecondSignal: (signal: string) => log.warn({ signal }, 'stopped at once'),
      onSecondError: (err: unknown) => log.fatal({ err }, 'stopped by an error while stopping'),
      onTimeout: (delayMs: number) => log.error({ delayMs }, 'not everything could be stopped in time')
    } as const
    closeWithGrace(grace, async ({ signal, err }) => {
      if (err) log.fatal({ err }, 'stopping after an error')
      else log.info({ signal }, 'stopping')
      await parts.close().catch((error: unknown) => {
        log.error({ err: error }, 'not everything could be stopped')
        throw error
      })
      log.info({}, 'stopped')
    })
    try {
      await start(config, log, parts)
      giveBackWhatStartingTook()
    } catch (error) {
      await parts.close().catch(() => {}) // what went wrong first is what has to be said
      throw error
    }
  })

/** Runs `work` with the settings of the environment. What cannot work is said in a sentence, and the process ends with 1. */
export async function runOnce(
  options: { readonly split: boolean },
  work: (config: Config, log: Logger) => Promise<void>
): Promise<void> {
  let log: Logger | undefined
  try {
    const config = readConfig(process.env, options)
    log = createLogger(config.LOG_LEVEL)
    delete process.env.KEK // so that no child, report or debugger has it
    await keepMemoryToOurselves(log)
    await work(config, log)
  } catch (error) {
    const sentence = sentenceFor(error)
    if (sentence) process.stderr.write(`${sentence}\n`)
    else if (log) log.fatal({ err: error }, 'the service could not start')
    else throw error
    process.exit(1)
  }
}

/** What an operator can do something about, in words; undefined for what only the log can tell. */
function sentenceFor(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if (FOR_OPERATORS.some((kind) => error instanceof kind)) return error.message
  const { code, path, syscall, port } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'EADDRINUSE') return `PORT ${port} is taken: stop what listens there, or choose another.`
  if (syscall === 'connect' || isDatabaseTrouble(error))
    return `The PostgreSQL of DATABASE_URL cannot be reached or used (${code ?? error.message}): start it, or correct the URL.`
  if (path && code)
    return `${path} cannot be used (${code}): correct the setting that names it, or what this user may do there.`
  return undefined
}

const FOR_OPERATORS = [ConfigInvalid, KeyFileInvalid, SchemaMismatch, EmbeddedPostgresError]
