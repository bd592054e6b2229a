import { execFile } from 'node:child_process'
import type { LookupAddress } from 'node:dns'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type LookupFunction } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { type AddressPolicy, createAddressPolicy } from '../../../src/destinations/address.ts'
import { type ConnectionSettings, createConnections } from '../../../src/destinations/connection.ts'
import { put } from '../../../src/destinations/put.ts'
import { putServer } from '../../support/put-server.ts'

const pem = (name: string) => readFileSync(join(import.meta.dirname, 'tls', name), 'utf8')
const tls = { key: pem('server-key.pem'), cert: pem('server.pem') }
const limits = { connectMs: 20_000, idleMs: 20_000, answerMs: 20_000 }
const loopback = createAddressPolicy({ allowedNetworks: ['127.0.0.1/32'], allowedEndpoints: [] })
const strict = createAddressPolicy({ allowedNetworks: [], allowedEndpoints: [] })

/** A DNS that gives the next list of addresses each time it is asked. */
function dns(...answers: (readonly string[])[]) {
  let asked = 0
  const lookup = ((_name, _options, callback) => {
    const addresses: LookupAddress[] = (answers[asked] ?? []).map((address) => ({
      address,
      family: address.includes(':') ? 6 : 4
    }))
    asked += 1
    callback(null, addresses)
  }) as LookupFunction
  return { lookup, asked: () => asked }
}

/** Sends a small GET over connections of its own. */
async function get(url: string, settings: Partial<ConnectionSettings>, signal = new AbortController().signal) {
  const connections = createConnections({ policy: strict, limits, ...settings })
  try {
    return await put({
      method: 'GET',
      url: new URL(url),
      headers: {},
      length: 0,
      connections,
      credentials: false,
      signal
    })
  } finally {
    connections.close()
  }
}

const FORBIDDEN = { code: 'DEST_ADDRESS_FORBIDDEN', permanent: true, actor: 'user' }

describe('the guard', () => {
  it.each(['127.0.0.1', '2130706433', '0x7f.1', '0177.0.0.1', '127.1', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]'])(
    'sees %s, for which no DNS is asked',
    async (host) => {
      await using server = await putServer()

      await expect(get(`http://${host}:${server.port}/`, {})).rejects.toMatchObject(FORBIDDEN)
      expect(server.seen).toEqual([])
    }
  )

  it.each([
    [['127.0.0.1']],
    [['1.1.1.1', '127.0.0.1']],
    [['2606:4700:4700::1111', '::1']],
    [['64:ff9b::7f00:1']],
    [[]]
  ])('wants every address of the DNS answer to be allowed: %j', async (addresses) => {
    await expect(get('http://storage.example.org/', { lookup: dns(addresses).lookup })).rejects.toMatchObject(FORBIDDEN)
  })

  it('connects to the address it judged and asks the DNS once', async () => {
    await using server = await putServer()
    const rebinding = dns(['127.0.0.1'], ['127.0.0.2'])
    const url = `http://rebind.example.org:${server.port}/`

    await expect(get(url, { policy: loopback, lookup: rebinding.lookup })).resolves.toMatchObject({ status: 404 })
    expect(rebinding.asked()).toBe(1)

    await expect(get(url, { policy: loopback, lookup: rebinding.lookup })).rejects.toMatchObject(FORBIDDEN)
    expect(server.seen).toHaveLength(1)
  })

  it('judges the address it is connected to as well', async () => {
    await using server = await putServer()
    let judged = 0
    const wavering: AddressPolicy = { checkHost() {}, allows: () => ++judged === 1 }

    await expect(get(`http://127.0.0.1:${server.port}/`, { policy: wavering })).rejects.toMatchObject(FORBIDDEN)
    expect(judged).toBe(2)
    expect(server.seen).toEqual([])
  })

  it('is not deceived by a DNS that names an allowed address first and the loopback second', async () => {
    await using victim = await putServer()
    const rebinding = dns(['127.0.0.2'], ['127.0.0.1'])
    const policy = createAddressPolicy({ allowedNetworks: ['127.0.0.2/32'], allowedEndpoints: [] })
    const connections = createConnections({ policy, limits, lookup: rebinding.lookup })
    const url = new URL(`http://rebind.example.org:${victim.port}/`)
    const request = {
      url,
      headers: {},
      length: 0,
      connections,
      credentials: false,
      signal: new AbortController().signal
    }

    await expect(put({ ...request, method: 'GET' })).rejects.toMatchObject({ code: 'DEST_UNREACHABLE' })
    await expect(put({ ...request, method: 'PUT' })).rejects.toMatchObject(FORBIDDEN)

    expect(rebinding.asked()).toBe(2)
    expect(victim.seen).toEqual([])
    connections.close()
  })

  it.each(['http', 'https'])('keeps handshakes with %s from where they may not go', async (scheme) => {
    const { lookup } = dns(['169.254.169.254'], ['10.0.0.1'])
    const connections = createConnections({ policy: strict, limits, lookup })
    const shake = (host: string) =>
      connections.handshake(new URL(`${scheme}://${host}/`), false, new AbortController().signal)

    for (const host of ['127.0.0.1', '[::1]', 'meta.example.org', 'inside.example.org']) {
      await expect(shake(host)).rejects.toMatchObject(FORBIDDEN)
    }
    connections.close()
  })

  it('takes no notice of proxies in the environment', async () => {
    await using server = await putServer()
    await using proxy = await putServer()
    const src = join(import.meta.dirname, '../../../src/destinations')
    const program = `
      import { createAddressPolicy } from '${src}/address.ts'
      import { createConnections } from '${src}/connection.ts'
      import { put } from '${src}/put.ts'
      const policy = createAddressPolicy({ allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
      const connections = createConnections({ policy, limits: { connectMs: 20000, idleMs: 20000, answerMs: 20000 } })
      const url = new URL('http://127.0.0.1:${server.port}/direct')
      const signal = new AbortController().signal
      const { status } = await put({ method: 'GET', url, headers: {}, length: 0, connections, credentials: false, signal })
      connections.close()
      console.log(status)
    `
    const through = `http://127.0.0.1:${proxy.port}`
    const env = {
      NODE_USE_ENV_PROXY: '1',
      HTTP_PROXY: through,
      http_proxy: through,
      HTTPS_PROXY: through,
      ALL_PROXY: through
    }

    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { env })

    expect(stdout).toBe('404\n')
    expect(server.seen.map(({ path }) => path)).toEqual(['/direct'])
    expect(proxy.seen).toEqual([])
  })

  it('does not share plain connections between requests with and without credentials', () => {
    const connections = createConnections({ policy: strict, limits })
    const url = new URL('http://storage.example.org/')

    expect(connections.agentFor(url, true)).not.toBe(connections.agentFor(url, false))
    connections.close()
  })

  it('keeps connections for the next request', async () => {
    await using server = await putServer()
    const connections = createConnections({ policy: loopback, limits, lookup: dns(['127.0.0.1']).lookup })
    const request = { url: new URL(`http://storage.example.org:${server.port}/`), headers: {}, length: 0, connections }
    const signal = new AbortController().signal

    await put({ ...request, method: 'GET', credentials: false, signal })
    const second = await put({ ...request, method: 'GET', credentials: false, signal })

    expect(second.status).toBe(404)
    connections.close()
  })
})

describe('TLS', () => {
  const { lookup } = dns(...Array.from({ length: 20 }, () => ['127.0.0.1']))
  const settings = { policy: loopback, lookup }
  const request = { method: 'GET', headers: {}, length: 0, credentials: false } as const

  it('trusts the authority of the operator', async () => {
    await using server = await putServer(tls)

    const answer = await get(`https://storage.example.org:${server.port}/`, { ...settings, extraCa: pem('ca.pem') })

    expect(answer.status).toBe(404)
  })

  it('trusts no other', async () => {
    await using server = await putServer(tls)

    await expect(get(`https://storage.example.org:${server.port}/`, settings)).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED',
      permanent: true
    })
    expect(server.seen).toEqual([])
  })

  it('wants the name of the URL in the certificate', async () => {
    await using server = await putServer(tls)
    const url = `https://other.example.org:${server.port}/`

    await expect(get(url, { ...settings, extraCa: pem('ca.pem') })).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED',
      message: expect.stringContaining('another name')
    })
  })

  it('trusts the authority of one target, for this target only', async () => {
    await using server = await putServer(tls)
    const connections = createConnections({ ...settings, limits })
    const url = new URL(`https://storage.example.org:${server.port}/`)
    const ask = (through: typeof connections) =>
      put({ ...request, url, connections: through, signal: new AbortController().signal })
    {
      using own = connections.withTls({ ca: pem('ca.pem') })

      expect((await ask(own)).status).toBe(404)
      await expect(ask(connections)).rejects.toMatchObject({ code: 'DEST_TLS_UNTRUSTED' })
      expect(await own.handshake(url, false, new AbortController().signal)).toEqual({
        version: 'TLSv1.3',
        certificateExpiresAt: new Date('2126-10-29T11:32:16Z')
      })
    }
    using same = connections.withTls(undefined)
    expect(same.agentFor(url, false)).toBe(connections.agentFor(url, false))
    connections.close()
  })

  it('keeps the well-known authorities beside that of a target', () => {
    const connections = createConnections({ ...settings, limits, extraCa: 'of the operator' })
    using own = connections.withTls({ ca: 'of the target' })
    const { ca } = (own.agentFor(new URL('https://a.example/'), false) as unknown as { options: { ca: string[] } })
      .options

    expect(ca.slice(-2)).toEqual(['of the operator', 'of the target'])
    expect(ca.length).toBeGreaterThan(50)
  })

  it.each([
    ['wants', 'other.example.org', 'another name'],
    ['takes', 'storage.example.org', undefined]
  ])('%s the name that one target gives', async (_, serverName, message) => {
    await using server = await putServer(tls)
    const connections = createConnections({ ...settings, limits, extraCa: pem('ca.pem') })
    using own = connections.withTls({ serverName })
    const url = new URL(`https://127.0.0.1:${server.port}/`)

    const asked = put({ ...request, url, connections: own, signal: new AbortController().signal })

    if (message === undefined) expect((await asked).status).toBe(404)
    else
      await expect(asked).rejects.toMatchObject({
        code: 'DEST_TLS_UNTRUSTED',
        message: expect.stringContaining(message)
      })
  })

  it('shows a certificate to a server that wants one', async () => {
    await using server = await putServer({ ...tls, ca: pem('ca.pem'), requestCert: true, rejectUnauthorized: true })
    const connections = createConnections({ ...settings, limits, extraCa: pem('ca.pem') })
    using own = connections.withTls({ cert: tls.cert, key: tls.key })
    const url = new URL(`https://storage.example.org:${server.port}/`)
    const ask = (through: typeof connections) =>
      put({ ...request, url, connections: through, signal: new AbortController().signal })

    expect((await ask(own)).status).toBe(404)
    await expect(ask(connections)).rejects.toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: true, actor: 'user' })
    connections.close()
  })

  it('does not go below 1.2', async () => {
    await using server = await putServer({
      ...tls,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0'
    })
    const url = `https://storage.example.org:${server.port}/`

    await expect(get(url, { ...settings, extraCa: pem('ca.pem') })).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED'
    })
  })

  it('notices a port that speaks plain http', async () => {
    await using server = await putServer()

    await expect(get(`https://storage.example.org:${server.port}/`, settings)).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED'
    })
  })
})

describe('connecting', () => {
  it('gives up when the handshake takes too long', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const impatient = { ...limits, connectMs: 100 }

    await expect(get(`https://127.0.0.1:${port}/`, { policy: loopback, limits: impatient })).rejects.toMatchObject({
      code: 'DEST_UNREACHABLE',
      message: expect.stringContaining('could not be reached')
    })
    silent.close()
  })

  it('says when nobody listens', async () => {
    const { port } = await putServer().then(async (server) => {
      await server[Symbol.asyncDispose]()
      return server
    })

    await expect(get(`http://127.0.0.1:${port}/`, { policy: loopback })).rejects.toMatchObject({
      code: 'DEST_UNREACHABLE',
      message: expect.stringContaining('could not be reached')
    })
  })

  it('says when the DNS does not know the name', async () => {
    const lookup: LookupFunction = (_name, _options, callback) =>
      callback(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }), [])

    await expect(get('https://storage.example.org/', { lookup })).rejects.toMatchObject({ code: 'DEST_DNS_FAILED' })
  })

  it('stops waiting for the DNS when the signal fires', async () => {
    const stop = new AbortController()
    const lookup: LookupFunction = () => setImmediate(() => stop.abort(new Error('lease lost')))

    await expect(get('https://storage.example.org/', { lookup }, stop.signal)).rejects.toThrow('lease lost')
  })
})
