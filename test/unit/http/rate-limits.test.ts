import { describe, expect, test } from 'vitest'
import { appOver, MemoryService, token } from './memory-service.ts'

const NONE = { readsPerProject: 0, writesPerProject: 0, refusedPerAddress: 0 }

describe('rate limits', () => {
  test('are of a project: others go on, and so does writing when reading is over', async () => {
    const app = appOver(new MemoryService(), { rateLimits: { ...NONE, readsPerProject: 2, writesPerProject: 1 } })
    const read = async (project: string, user: string) =>
      app.inject({ url: '/v2/tasks', headers: token(project, 'member', user) })

    const answers = [await read('demo', 'alice'), await read('demo', 'bob'), await read('demo', 'alice')]
    const write = await app.inject({ method: 'POST', url: '/v2/tasks', headers: token('demo'), payload: {} })
    const [refused] = answers.slice(2)

    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 429])
    expect(Number(refused?.headers['retry-after'])).toBeGreaterThan(0)
    expect(refused?.json()).toEqual({
      error: {
        code: 429,
        title: 'Too Many Requests',
        message: expect.stringMatching(/^This project has sent more than 2/)
      }
    })
    expect(write.statusCode).toBe(400)
    expect((await read('other', 'carol')).statusCode).toBe(200)
  })

  test('count requests without a token by address, and leave those with one alone', async () => {
    const app = appOver(new MemoryService(), { rateLimits: { ...NONE, refusedPerAddress: 2 } })
    const guess = async (remoteAddress: string, secret = 'guess') =>
      (await app.inject({ url: '/v2/tasks', remoteAddress, headers: { 'x-auth-token': secret } })).statusCode

    expect([await guess('192.0.2.1'), await guess('192.0.2.1'), await guess('192.0.2.1')]).toEqual([401, 401, 429])
    expect(await guess('192.0.2.2')).toBe(401)
    expect(await guess('192.0.2.1', 'alice:demo:member')).toBe(200)
  })

  test('take the addresses that one IPv6 customer has for one', async () => {
    const app = appOver(new MemoryService(), { rateLimits: { ...NONE, refusedPerAddress: 1 } })
    const guess = async (remoteAddress: string) => (await app.inject({ url: '/v2/tasks', remoteAddress })).statusCode

    expect([await guess('2001:db8::1'), await guess('2001:db8::ffff:2')]).toEqual([401, 429])
    expect(await guess('2001:db8:0:1::1')).toBe(401)
    expect([await guess('192.0.2.7'), await guess('::ffff:192.0.2.7')]).toEqual([401, 429])
  })

  test('leave out what needs no token', async () => {
    const app = appOver(new MemoryService(), {
      rateLimits: { readsPerProject: 1, writesPerProject: 1, refusedPerAddress: 1 }
    })
    const statuses = []
    for (let count = 0; count < 5; count++) statuses.push((await app.inject({ url: '/readyz' })).statusCode)

    expect(statuses).toEqual([200, 200, 200, 200, 200])
  })
})
