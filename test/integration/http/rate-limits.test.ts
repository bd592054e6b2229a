import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { rateCounters } from '../../../src/compose/rate-counters.ts'
import { freshRedis } from '../../support/redis.ts'
import { appOver, MemoryService, token } from '../../unit/http/memory-service.ts'

const log = { info() {}, warn() {}, error() {} }
const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step()
})

function appCountingAt(url: string) {
  const redis = rateCounters(url, log)
  const app = appOver(new MemoryService(), {
    rateLimits: { readsPerProject: 3, writesPerProject: 0, refusedPerAddress: 0, redis }
  })
  cleanUp.push(
    () => redis.disconnect(),
    () => app.close()
  )
  return { app, redis }
}

it('counts for all processes together where there is a Redis', async () => {
  const [one, two] = [appCountingAt(freshRedis().url), appCountingAt(freshRedis().url)]
  await Promise.all([one, two].map(({ redis }) => redis.ping().catch(() => once(redis, 'ready'))))
  const project = `p${randomBytes(6).toString('hex')}`
  const read = async ({ app }: typeof one) =>
    (await app.inject({ url: '/v2/tasks', headers: token(project) })).statusCode

  expect([await read(one), await read(two), await read(one), await read(two)]).toEqual([200, 200, 200, 429])
})

it.each([
  ['is not there', false],
  ['does not answer', true]
])('serves on, uncounted, while Redis %s', async (_name, listens) => {
  const server = createServer(() => {}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  if (!listens) server.close()
  cleanUp.push(() => server.close())
  const { app } = appCountingAt(`redis://127.0.0.1:${port}`)
  const read = async () => (await app.inject({ url: '/v2/tasks', headers: token('demo') })).statusCode

  expect([await read(), await read(), await read(), await read()]).toEqual([200, 200, 200, 200])
})
