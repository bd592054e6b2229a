import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { createExportClient, RequestRefused, type Task, TaskFailed, waitForTask } from '../../../client/client.ts'
import { toWire } from '../../../src/http/wire/task.ts'
import { MemoryService } from '../../unit/http/memory-service.ts'

type Step = (request: IncomingMessage, response: ServerResponse) => void

const ID = '43215678-4321-4321-4321-432156789abc'
const QUEUED = toWire(new MemoryService().addTask())
const shown = (change: Partial<Task>): Task => Object.assign({ ...QUEUED }, change)

/** A service that answers request after request as it was told; the last step goes on for ever. */
async function scripted(...steps: readonly Step[]) {
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    const step = steps[Math.min(seen.push(request), steps.length) - 1]
    step?.(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    client: createExportClient({ url: `http://127.0.0.1:${port}`, token: 'alice:demo:member' }),
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

const answer =
  (status: number, body: object | undefined, headers: Record<string, string> = {}): Step =>
  (_request, response) => {
    response.writeHead(status, { 'retry-after': '0', ...(body && { 'content-type': 'application/json' }), ...headers })
    response.end(body && JSON.stringify(body))
  }
const task = (change: Partial<Task>, headers: Record<string, string> = {}) => answer(200, shown(change), headers)
const done = task({ task_status: 'success', status: 'success', export_location: 'https://store.example.com/1' })
const refusal = (code: number, message: string) => ({ error: { code, title: 'No', message } })

describe('waitForTask', () => {
  it('gives the task once it has succeeded, and tells every change once', async () => {
    await using service = await scripted(
      task({ task_status: 'queued' }),
      task({ task_status: 'queued' }),
      task({ task_status: 'transferring' }),
      done
    )
    const seen: string[] = []

    const ended = await waitForTask(service.client, ID, { onProgress: ({ task_status }) => seen.push(task_status) })

    expect(ended.export_location).toBe('https://store.example.com/1')
    expect(seen).toEqual(['queued', 'transferring', 'success'])
    expect(service.seen.map(({ url }) => url)).toEqual(Array(4).fill(`/v2/tasks/${ID}`))
    expect(service.seen[0]?.headers['x-auth-token']).toBe('alice:demo:member')
  })

  it('asks to be told of news, by the ETag it has seen last', async () => {
    await using service = await scripted(
      task({ task_status: 'queued' }, { etag: '"1"' }),
      answer(304, undefined, { etag: '"1"' }),
      task({ task_status: 'processing' }, { etag: '"2"' }),
      done
    )

    await waitForTask(service.client, ID)

    expect(service.seen.map(({ headers }) => [headers['if-none-match'], headers.prefer])).toEqual([
      [undefined, undefined],
      ['"1"', 'wait=30'],
      ['"1"', 'wait=30'],
      ['"2"', 'wait=30']
    ])
  })

  it('throws what the task failed of', async () => {
    const failure = { code: 'DEST_FORBIDDEN', actor: 'user', retriable: false, phase: 'sending', attempts: 1 } as const
    const failed = { ...shown({}).failure, ...failure } as Task['failure']
    await using service = await scripted(
      task({ task_status: 'failure', status: 'failure', message: 'The bucket refused it.', failure: failed })
    )

    const error = await waitForTask(service.client, ID).catch((thrown: unknown) => thrown)

    expect(error).toBeInstanceOf(TaskFailed)
    expect(error).toMatchObject({
      message: 'The bucket refused it.',
      code: 'DEST_FORBIDDEN',
      actor: 'user',
      retriable: false,
      task: { task_status: 'failure' }
    })
  })

  it.each<[string, Step]>([
    ['429', answer(429, refusal(429, 'Too many requests'))],
    ['429 with a date that has passed', answer(429, {}, { 'retry-after': 'Sun, 06 Nov 1994 08:49:37 GMT' })],
    ['503', answer(503, refusal(503, 'Try again later'))],
    ["a proxy's 502", answer(502, undefined, { 'content-type': 'text/html' })],
    ['a connection that breaks', (request) => request.socket.destroy()],
    [
      'half of an answer',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).write('{"id":')
        response.destroy()
      }
    ]
  ])('goes on after %s', async (_name, trouble) => {
    await using service = await scripted(task({ task_status: 'queued' }), trouble, done)

    await expect(waitForTask(service.client, ID)).resolves.toMatchObject({ task_status: 'success' })
    expect(service.seen).toHaveLength(3)
  })

  it('loses patience with a service that never answers', async () => {
    await using service = await scripted(answer(503, refusal(503, 'Try again later')))

    const waiting = waitForTask(service.client, ID, { patienceSeconds: 0 })

    await expect(waiting).rejects.toThrow('Try again later')
  })

  it('ends at once where asking again will not help', async () => {
    await using service = await scripted(
      answer(404, refusal(404, `Could not find task ${ID}`), { 'x-openstack-request-id': 'req-1' })
    )

    const error = await waitForTask(service.client, ID).catch((thrown: unknown) => thrown)

    expect(error).toBeInstanceOf(RequestRefused)
    expect(error).toMatchObject({ status: 404, message: `Could not find task ${ID}`, requestId: 'req-1' })
    expect(service.seen).toHaveLength(1)
  })

  it('ends with the reason of its signal, in a request and between two', async () => {
    const stop = new AbortController()
    await using held = await scripted(() => stop.abort(new Error('enough')))
    await using slow = await scripted(task({ task_status: 'queued' }, { 'retry-after': '600' }))
    const later = new AbortController()

    await expect(waitForTask(held.client, ID, { signal: stop.signal })).rejects.toThrow('enough')
    await expect(
      waitForTask(slow.client, ID, {
        signal: later.signal,
        onProgress: () => setTimeout(() => later.abort(new Error('late')), 1)
      })
    ).rejects.toThrow('late')
    expect(slow.seen).toHaveLength(1)
  })
})

describe('createExportClient', () => {
  it('asks for a token before every request, and keeps the path of its URL', async () => {
    let count = 0
    const urls: string[] = []
    const client = createExportClient({
      url: 'http://service.example.com/images/',
      token: async () => `token-${++count}`,
      fetch: async (request) => {
        urls.push(request.url)
        const ended = request.headers.get('x-auth-token') === 'token-2'
        return Response.json(shown({ task_status: ended ? 'success' : 'queued' }), { headers: { 'retry-after': '0' } })
      }
    })

    await waitForTask(client, ID)

    expect(urls).toEqual(Array(2).fill(`http://service.example.com/images/v2/tasks/${ID}`))
  })

  it('refuses what is no URL', () => {
    expect(() => createExportClient({ url: 'images', token: '' })).toThrow(TypeError)
  })
})
