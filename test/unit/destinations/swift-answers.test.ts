import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { DEFAULT_LIMITS } from '../../../src/destinations/connection.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal
const BEAT_MS = 50
/** The usual time for an answer is over before the heartbeats are, ten times that is not. */
const IMPATIENT = { ...DEFAULT_LIMITS, answerMs: 500 }
const HEARTBEATS = { heartbeatMs: 1_000 }

type Asked = { readonly method: string; readonly path: string; readonly query: URLSearchParams; readonly body: Buffer }
type Answer = {
  readonly status: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** How long spaces come before the body, in milliseconds. */
  readonly heartbeatMs?: number
}

/** An account of Swift with TempAuth, of which only the answers are made that a test is about; else all is well and empty. */
async function swiftAnswering(answer: (asked: Asked) => Answer | undefined, limits = DEFAULT_LIMITS) {
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://swift')
    const body = await buffer(request).catch(() => Buffer.alloc(0))
    const { method = '' } = request
    if (url.pathname === '/auth/v1.0') {
      const storage = `http://${request.headers.host}/v1/AUTH_a`
      return response.writeHead(200, { 'x-storage-url': storage, 'x-auth-token': 'token' }).end()
    }
    const one = { method, path: url.pathname.replace('/v1/AUTH_a', ''), query: url.searchParams, body }
    asked.push(one)
    const usual = { PUT: 201, HEAD: 404, GET: 204 }[method] ?? 204
    const etag = createHash('md5').update(body).digest('hex')
    const said: Answer = answer(one) ?? { status: usual, headers: { etag } }
    const { status, body: text = '', headers = {}, heartbeatMs = 0 } = said
    response.writeHead(status, headers)
    for (let at = 0; at < heartbeatMs; at += BEAT_MS) {
      response.write(' ')
      await sleep(BEAT_MS)
    }
    response.end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const destinations = createDestinations({ hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits })
  const credentials = { kind: 'tempauth', auth_url: `http://${host}/auth/v1.0`, user: 'a:me', key: 'k' }
  return {
    asked,
    destination: destinations.forScheme('swift'),
    target: (replace = false) => uploadTarget(`swift://${host}/AUTH_a/c`, 2, credentials, { object: { replace } }),
    /** For the same account, by Keystone. */
    keystoneTarget: () =>
      uploadTarget(`swift://${host}/AUTH_a/c`, 2, { kind: 'token', auth_url: `http://${host}/v3`, token: 't' }),
    async [Symbol.asyncDispose]() {
      destinations.close()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

const isBulk = ({ query }: Asked) => query.has('bulk-delete')
const isList = ({ method, path }: Asked) => method === 'GET' && path === '/c_segments'
const INFO = {
  status: 200,
  body: JSON.stringify({ swift: {}, slo: {}, bulk_delete: { max_deletes_per_request: 10_000 } })
}
const EARLIER = '5f8f5f2c-2f0e-4d7c-9a53-5a3d0d5c6a11'
/** A static large object. */
const STANDS = { status: 200, headers: { 'x-static-large-object': 'True', etag: 'e' } }
const isInfo = ({ path }: Asked) => path === '/info'

/** As Swift says that it has removed all. */
const gone = (count: number) =>
  JSON.stringify({ 'Number Deleted': count, 'Number Not Found': 0, 'Response Status': '200 OK', Errors: [] })
const pathsOf = ({ body }: Asked) => body.toString().split('\n')
const deleted = (asked: readonly Asked[]) => asked.filter(({ method }) => method === 'DELETE').map(({ path }) => path)

/** The list of `count` segments of an export, page by page. */
function listed({ query }: Asked, count: number): Answer {
  const names = Array.from({ length: count }, (_, i) => `${query.get('prefix')}${String(i).padStart(8, '0')}`)
  const rest = names.filter((name) => name > (query.get('marker') ?? '')).slice(0, Number(query.get('limit')))
  return { status: 200, body: JSON.stringify(rest.map((name) => ({ name, hash: 'e', bytes: 1 }))) }
}

describe('segments that are to be removed', () => {
  it('are left where Swift refuses every one of them, however long it says so', async () => {
    await using swift = await swiftAnswering((asked) => {
      if (isInfo(asked)) return INFO
      if (isList(asked)) return listed(asked, 1000)
      if (!isBulk(asked)) return undefined
      const errors = pathsOf(asked).map((path) => [`/v1/AUTH_a${path}${'x'.repeat(3000)}`, '403 Forbidden'])
      return { status: 200, body: JSON.stringify({ Errors: errors, 'Number Deleted': 0 }) }
    })

    const discarded = swift.destination.discard(swift.target(), {}, never)

    await expect(discarded).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    expect(swift.asked.filter(isBulk)).toHaveLength(1)
  })

  it.each(['', '   ', '{"Number Deleted": 2, "Err', '{}', '[]'])(
    'are removed one by one where the answer is %j',
    async (body) => {
      await using swift = await swiftAnswering((asked) => {
        if (isInfo(asked)) return INFO
        if (isList(asked)) return listed(asked, 201)
        // Of the first 200 all was well.
        if (isBulk(asked)) return { status: 200, body: pathsOf(asked).length === 200 ? gone(200) : body }
        return undefined
      })

      expect(await swift.destination.discard(swift.target(), {}, never)).toEqual(['201 segments'])
      expect(deleted(swift.asked)).toEqual([expect.stringMatching(/^\/c_segments\/.*\/00000200$/)])
    }
  )

  it('are left where neither that answer nor another says that they are gone', async () => {
    await using swift = await swiftAnswering((asked) => {
      if (isInfo(asked)) return INFO
      if (isList(asked)) return listed(asked, 2)
      if (isBulk(asked)) return { status: 200, body: '' }
      return asked.method === 'DELETE' ? { status: 403 } : undefined
    })

    const discarded = swift.destination.discard(swift.target(), {}, never)

    await expect(discarded).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
  })

  it('are removed together although Swift takes longer than for other answers', async () => {
    await using swift = await swiftAnswering((asked) => {
      if (isInfo(asked)) return INFO
      if (isList(asked)) return listed(asked, 2)
      return isBulk(asked) ? { status: 200, body: gone(2), ...HEARTBEATS } : undefined
    }, IMPATIENT)

    expect(await swift.destination.discard(swift.target(), {}, never)).toEqual(['2 segments'])
    expect(deleted(swift.asked)).toEqual([])
  })

  it('are found on all pages, and removed some hundred at once', async () => {
    await using swift = await swiftAnswering((asked) => {
      if (isInfo(asked)) return INFO
      if (isList(asked)) return listed(asked, 1000)
      if (!isBulk(asked)) return undefined
      return { status: 200, body: gone(pathsOf(asked).length) }
    })

    expect(await swift.destination.discard(swift.target(), {}, never)).toEqual(['1000 segments'])
  })
})

describe('an object among the segments that no export has named so', () => {
  it.each(['../../../photos/one', 'readme', '00000001/x', '1'])('is left alone: %s', async (name) => {
    await using swift = await swiftAnswering((asked) => {
      if (!isList(asked)) return undefined
      const all = [name, '00000001'].map((end) => `${asked.query.get('prefix')}${end}`).sort()
      const page = all.filter((one) => one > (asked.query.get('marker') ?? ''))
      return { status: 200, body: JSON.stringify(page.map((one) => ({ name: one }))) }
    })

    expect(await swift.destination.discard(swift.target(), {}, never)).toEqual(['1 segment'])
    expect(deleted(swift.asked)).toEqual([expect.stringMatching(/^\/c_segments\/.*\/00000001$/)])
  })
})

describe('a large object that is removed', () => {
  const removing = async (answer: Answer, limits = DEFAULT_LIMITS) => {
    await using swift = await swiftAnswering(({ method, path, query }) => {
      if (method === 'HEAD' && path.startsWith('/c/')) return STANDS
      return query.get('multipart-manifest') === 'delete' ? answer : undefined
    }, limits)
    await swift.destination.remove(swift.target(), never)
    return deleted(swift.asked)
  }

  it('may take Swift longer than other answers', async () => {
    expect(await removing({ status: 200, body: gone(3), ...HEARTBEATS }, IMPATIENT)).toHaveLength(1)
  })

  it.each(['', '   ', '{"Number Deleted": 2, "Err'])('may still be there where the answer is %j', async (body) => {
    await expect(removing({ status: 200, body })).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: false })
  })

  it('is still there where Swift refuses to remove any of its segments, however long it says so', async () => {
    const errors = Array.from({ length: 1000 }, (_, i) => [
      `/v1/AUTH_a/c_segments/${i}${'x'.repeat(100)}`,
      '403 Forbidden'
    ])
    const body = JSON.stringify({ 'Number Deleted': 0, 'Response Status': '400 Bad Request', Errors: errors })

    await expect(removing({ status: 200, body })).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
  })
})

describe('a list', () => {
  it.each([
    ['that begins anew with every page', (asked: Asked) => listed({ ...asked, query: without(asked.query) }, 1000), 2],
    [
      'with more on a page than was asked for',
      (asked: Asked) => listed({ ...asked, query: all(asked.query) }, 1000),
      1
    ],
    ['too long to be read', () => ({ status: 200, body: `[${'{},'.repeat(MiB)}{}]` }), 1],
    ['that is cut', (asked: Asked) => ({ status: 200, body: listed(asked, 2).body?.slice(0, -1) ?? '' }), 1],
    ['of anything', () => ({ status: 200, body: '[null, 5, {"name": 7}]' }), 1],
    ['of more than a cluster takes', (asked: Asked) => listed(asked, 30_000), 81],
    ['of what was not asked for', (asked: Asked) => foreign(asked), 81]
  ] as const)('%s is not read on', async (_, answer, pages) => {
    await using swift = await swiftAnswering((asked) => (isList(asked) ? answer(asked) : undefined))

    const discarded = swift.destination.discard(swift.target(), {}, never)

    await expect(discarded).rejects.toMatchObject({ code: 'DEST_REJECTED', message: expect.stringContaining('list') })
    expect(swift.asked.filter(isList)).toHaveLength(pages)
  })
})

/** Names that rise for ever, and begin otherwise. */
function foreign({ query }: Asked): Answer {
  const from = Number(query.get('marker')?.slice(1) ?? 10_000_000)
  const names = Array.from({ length: Number(query.get('limit')) }, (_, i) => `z${from + 1 + i}`)
  return { status: 200, body: JSON.stringify(names.map((name) => ({ name }))) }
}

function without(query: URLSearchParams): URLSearchParams {
  const copy = new URLSearchParams(query)
  copy.delete('marker')
  return copy
}

function all(query: URLSearchParams): URLSearchParams {
  const copy = new URLSearchParams(query)
  copy.set('limit', '1000')
  return copy
}

describe('a large object that is replaced', () => {
  const replacing = async (manifest: string, { status = 200, headers = {}, segments = 0 } = {}) => {
    await using swift = await swiftAnswering((asked) => {
      const { method, path, query } = asked
      if (method === 'HEAD' && path.startsWith('/c/')) return { ...STANDS, headers: { ...STANDS.headers, ...headers } }
      if (isList(asked)) return listed(asked, segments)
      return query.get('multipart-manifest') === 'get' ? { status, body: manifest } : undefined
    })
    const upload = await swift.destination.open(swift.target(true), never)
    async function* hi() {
      yield Buffer.from('hi')
    }
    await upload.putPart({ number: 1, offset: 0, length: 2 }, hi(), never)
    const committed = await upload.commit(never)
    return { ...committed, deleted: deleted(swift.asked) }
  }
  const entry = (name: string) => ({ name, hash: 'e', bytes: 1 })

  it('takes its segments along, and no other object that it names: that is told', async () => {
    const { deleted, left } = await replacing(
      JSON.stringify([entry('/c_segments/o/1'), entry('/photos/one'), entry('/c/another'), entry('/c_segments2/x')])
    )

    expect(deleted).toEqual(['/c_segments/o/1'])
    expect(left).toMatchObject({ what: expect.stringContaining('replaced'), error: { actor: 'user' } })
  })

  it('leaves nothing to be told where all are its own', async () => {
    const { deleted, left } = await replacing(JSON.stringify([entry('/c_segments/o/1'), entry('c_segments/o/2')]))

    expect(deleted.sort()).toEqual(['/c_segments/o/1', '/c_segments/o/2'])
    expect(left).toBeUndefined()
  })

  it('leaves objects alone whose names a URL would take for those of others', async () => {
    const { deleted, left } = await replacing(
      JSON.stringify([entry('/c_segments/../photos/one'), entry('/c_segments/o/./1'), entry('/c_segments/')])
    )

    expect(deleted).toEqual([])
    expect(left).toMatchObject({ what: expect.stringContaining('replaced') })
  })

  it.each([
    ['of which there are more than are read', `[${'{},'.repeat(MiB)}{}]`, 200],
    ['of which there are more than in any cluster', `[${'{},'.repeat(20_000)}{}]`, 200],
    ['where the manifest is none', 'x', 200],
    ['where the manifest is not shown', '', 503]
  ])('keeps segments %s, and says so', async (_, manifest, status) => {
    const { deleted, left } = await replacing(manifest, { status })

    expect(deleted).toEqual([])
    expect(left).toMatchObject({ what: expect.stringContaining('replaced') })
  })

  it('takes those of an export along also where its manifest is too long to be read', async () => {
    const { deleted, left } = await replacing(`[${'{},'.repeat(2 * MiB)}{}]`, {
      headers: { 'x-object-meta-glance-export-id': EARLIER },
      segments: 2
    })

    expect(deleted.map((path) => path.split('/').slice(-2).join('/')).sort()).toEqual([
      `${EARLIER}/00000000`,
      `${EARLIER}/00000001`
    ])
    expect(left).toBeUndefined()
  })
})

describe('a catalogue of services', () => {
  it('that is too long is refused before it is read as JSON', async () => {
    await using swift = await swiftAnswering(({ path }) => {
      if (path === '/v3/auth/tokens') return { status: 200, body: '{"token":{}}' }
      return path === '/v3/auth/catalog' ? { status: 200, body: `{"catalog":[${'{},'.repeat(MiB)}{}]}` } : undefined
    })

    const found = swift.destination.find(swift.keystoneTarget(), never)

    await expect(found).rejects.toMatchObject({ code: 'DEST_REJECTED', message: expect.stringContaining('list') })
  })

  it.each(['[null]', '[{"type":"object-store","endpoints":[null]}]'])(
    'that is %s is one without an object store',
    async (catalog) => {
      await using swift = await swiftAnswering(({ path }) => {
        if (path === '/v3/auth/tokens') return { status: 200, body: '{"token":{}}' }
        return path === '/v3/auth/catalog' ? { status: 200, body: `{"catalog":${catalog}}` } : undefined
      })

      const found = swift.destination.find(swift.keystoneTarget(), never)

      await expect(found).rejects.toMatchObject({ name: 'DestinationError', code: 'DEST_REJECTED' })
    }
  )
})
