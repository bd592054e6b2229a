import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { SourceChanged } from '../../../src/domain/errors.ts'
import { DownloadsBusy } from '../../../src/domain/temp-url-errors.ts'
import { exportRoutes } from '../../../src/http/routes/exports.ts'
import type { TempUrls } from '../../../src/temp-urls/temp-urls.ts'
import { servable } from '../temp-urls/servable.ts'
import { appOver, MemoryService } from './memory-service.ts'
import { oneTempUrl } from './memory-temp-urls.ts'

const tempUrl = servable({ bytes: 1000 * MiB })
const PATH = `/v2/exports/${tempUrl.taskId}/${encodeURIComponent(tempUrl.fileName)}`
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A download of 1000 MiB; says how much of it was asked for and how it ended. */
function download() {
  const state = { given: 0, signal: undefined as AbortSignal | undefined }
  const ended = Promise.withResolvers<boolean>()
  const uses: TempUrls = {
    ...new MemoryService().tempUrls,
    find: async () => tempUrl,
    download: async (_tempUrl, { from, to }, signal) => {
      state.signal = signal
      const bytes = async function* () {
        for (let at = from; at < to; at += 64 * KiB) {
          signal.throwIfAborted()
          state.given += Math.min(64 * KiB, to - at)
          yield Buffer.alloc(Math.min(64 * KiB, to - at))
        }
      }
      return { bytes: bytes(), end: ended.resolve }
    }
  }
  return { uses, state, ended: ended.promise }
}

async function listening(uses: TempUrls, idleMs?: number) {
  const app = Fastify({ exposeHeadRoutes: false })
  app.register(exportRoutes(uses, idleMs))
  await app.listen({ host: '127.0.0.1', port: 0 })
  closers.push(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const sent = request({ host: '127.0.0.1', port, path: PATH, agent: false }).end()
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  answer.on('error', () => {}) // that it breaks off is what is looked at
  return answer
}

describe('GET /v2/exports/{task}/{file}', () => {
  test('reads no further than the client takes, and cuts off one that takes nothing', async () => {
    const { uses, state, ended } = download()
    const answer = await listening(uses, 300)
    answer.pause()

    expect(await ended).toBe(false)
    expect(state.given).toBeLessThan(32 * MiB) // what the kernel holds for a connection
    expect(state.signal?.aborted).toBe(true)
  })

  test('stops reading when the client goes away', async () => {
    const { uses, state, ended } = download()
    const answer = await listening(uses)
    await once(answer, 'data')

    answer.destroy()

    expect(await ended).toBe(false)
    expect(state.signal?.aborted).toBe(true)
    expect(state.given).toBeLessThan(tempUrl.bytes)
  })

  test('breaks off, and never ends well, when the source fails in the middle', async () => {
    const { uses, ended } = download()
    const answer = await listening({
      ...uses,
      download: async (...asked) => {
        const { bytes, end } = (await uses.download(...asked)) ?? { bytes: [], end() {} }
        const failing = async function* () {
          let chunks = 0
          for await (const chunk of bytes) {
            if (chunks++ === 600) throw new Error('the disk broke')
            yield chunk
          }
        }
        return { bytes: failing(), end }
      }
    })

    answer.resume()
    await new Promise((resolve) => answer.once('close', resolve))

    expect(answer.complete).toBe(false)
    expect(await ended).toBe(false)
  })

  test.each([
    ['there are too many', new DownloadsBusy()],
    ['the image has become another one in its store', new SourceChanged(2, 1)]
  ])('says 503 when %s, without a word about the file', async (_why, error) => {
    const uses = { ...download().uses, download: () => Promise.reject(error) }
    const answer = await appOver(new MemoryService(), { tempUrls: uses }).inject({ url: PATH })

    expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '30'])
    expect(answer.json().error.failure_code).toBe(error.code)
    for (const name of ['etag', 'repr-digest', 'content-disposition', 'last-modified'])
      expect(answer.headers[name]).toBeUndefined()
  })

  test('is 404 as ever when the URL ends between the look and the download', async () => {
    const ended = { ...download().uses, download: async () => undefined }
    const app = (tempUrls: TempUrls) => appOver(new MemoryService(), { tempUrls })
    const late = await app(ended).inject({ url: PATH })
    const unknown = await app(new MemoryService().tempUrls).inject({ url: PATH })

    expect(late.statusCode).toBe(404)
    expect(late.body).toBe(unknown.body)
    expect(Object.keys(late.headers).sort()).toEqual(Object.keys(unknown.headers).sort())
  })

  test.each([
    ['short', 'web'],
    ['longer than any key can be derived for', 'a'.repeat(1100)],
    ['in capitals', tempUrl.taskId.toUpperCase()],
    ['of other letters', encodeURIComponent('ä'.repeat(500))]
  ])('is 404 as ever, and no error in the log, for an id that is none: %s', async (_why, id) => {
    await using tempUrls = await oneTempUrl(tempUrl.taskId)
    const lines: string[] = []
    const logger = pino({ base: null }, { write: (line: string) => lines.push(line) })
    const app = appOver(new MemoryService(), { tempUrls, logger })
    const ask = (task: string) => {
      const signed = `temp_url_sig=${tempUrls.values.SIG}&temp_url_expires=${tempUrls.values.EXP}`
      return app.inject({ url: `/v2/exports/${task}/x?${signed}` })
    }

    const unknown = await ask('0a000000-0000-4000-8000-00000000000a')
    const none = await ask(id)

    expect(unknown.statusCode).toBe(404)
    expect([none.statusCode, none.body]).toEqual([404, unknown.body])
    expect(Object.keys(none.headers)).toEqual(Object.keys(unknown.headers))
    expect(lines.map((line) => JSON.parse(line).level).filter((level) => level > 30)).toEqual([])
  })

  test('believes the address that a trusted proxy tells, and no other', async () => {
    const clients: string[] = []
    const uses: TempUrls = {
      ...new MemoryService().tempUrls,
      find: async (_id, { client }) => {
        clients.push(client)
        return undefined
      }
    }
    const headers = { 'x-forwarded-for': '203.0.113.9' }
    for (const trustedProxies of [[], ['127.0.0.0/8'], ['10.0.0.0/8']])
      await appOver(new MemoryService(), { tempUrls: uses, trustedProxies }).inject({ url: PATH, headers })

    expect(clients).toEqual(['127.0.0.1', '203.0.113.9', '127.0.0.1'])
  })
})
