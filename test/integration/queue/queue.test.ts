import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { taskId } from '../../../src/domain/ids.ts'
import { createExportQueue } from '../../../src/queue/export-queue.ts'
import { startExportWorker } from '../../../src/queue/export-worker.ts'
import { describeQueue } from '../../contracts/queue.contract.ts'
import { migratedDatabase } from '../../support/database.ts'
import { freshRedis } from '../../support/redis.ts'

describeQueue('PostgreSQL', async () => {
  const database = await migratedDatabase()
  return { backend: { kind: 'postgres', url: database.url }, close: database.close }
})

describeQueue('Redis', async () => {
  const { url, prefix } = freshRedis()
  return { backend: { kind: 'redis', url, prefix }, close: async () => {} }
})

it.each([
  ['is not there', false],
  ['takes connections and never answers', true]
])('does not keep anybody waiting for a Redis that %s', async (_case, listens) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  if (!listens) {
    server.close()
    await once(server, 'close')
  }
  const warnings: string[] = []
  const log = { info() {}, error() {}, warn: (_data: object, message: string) => warnings.push(message) }
  const queue = createExportQueue({ kind: 'redis', url: `redis://127.0.0.1:${port}` }, log)

  await queue.ring({ taskId: taskId(randomUUID()), epoch: 0 })

  expect(warnings).toContain('tasks could not be put on the queue; the sweep will do it')
  await queue.close()
  server.close()
})

it.each([
  ['no longer answers', false],
  ['breaks off every connection', true]
])(
  'lets a worker stop in time beside a Redis that %s',
  async (_case, breaks) => {
    const { url, prefix } = freshRedis()
    const redis = new URL(url)
    const connections = new Set<Socket>()
    let answering = true
    const proxy = createServer((client) => {
      const server = connect(Number(redis.port), redis.hostname)
      for (const socket of [client, server]) connections.add(socket.on('error', () => {}))
      client.on('data', (bytes) => answering && server.write(bytes))
      server.on('data', (bytes) => answering && client.write(bytes))
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const { port } = proxy.address() as AddressInfo
    const backend = { kind: 'redis', url: `redis://127.0.0.1:${port}`, prefix } as const
    const heard: string[] = []
    const log = { info() {}, error() {}, warn: (_data: object, message: string) => heard.push(message) }
    const started = Promise.withResolvers<void>()
    let ended = 0
    const queue = createExportQueue(backend, log)
    const worker = await startExportWorker({
      backend,
      concurrency: 1,
      sweepMs: 60_000,
      sweep: async () => {},
      tidy: async () => {},
      log,
      runNext: async (stopping) => {
        started.resolve()
        await once(stopping, 'abort')
        ended++
        return 'idle'
      }
    })
    await queue.ring({ taskId: taskId(randomUUID()), epoch: 0 })
    await started.promise
    answering = false
    const closing = Promise.all([worker.close(), sleep(50)])
    if (breaks) {
      proxy.close()
      for (const socket of connections) socket.destroy()
    }

    await closing
    await queue.close()

    expect(ended).toBe(1)
    if (!breaks) expect(heard).toContain('the queue was left as it was')
    for (const socket of connections) socket.destroy()
    proxy.close()
  },
  20_000
)
