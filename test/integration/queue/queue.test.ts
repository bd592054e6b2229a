import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { expect, it } from 'vitest'
import { taskId } from '../../../src/domain/ids.ts'
import { createExportQueue } from '../../../src/queue/export-queue.ts'
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
