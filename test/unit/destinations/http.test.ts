import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination, PATIENT } from '../../contracts/destination.contract.ts'
import { faultServer } from '../../support/fault-server.ts'
import { putServer } from '../../support/put-server.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

async function start(credentials?: Credentials, limits = PATIENT) {
  const server = await putServer()
  const faults = await faultServer(server.port)
  const destinations = createDestinations({ hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits })
  return {
    destination: destinations.forScheme('http'),
    atomic: false,
    server,
    faults,
    target: (length: number) => ({
      url: new URL(`http://127.0.0.1:${faults.port}/folder/${randomUUID()}`),
      credentials: credentials && new Secret(credentials),
      length,
      exact: true,
      mediaType: 'application/x-test'
    }),
    read: async ({ url }: { url: URL }) => server.objects.get(url.pathname),
    kept: () => server.objects.size,
    breakNextPart: (fault: Parameters<typeof faults.inject>[0]) =>
      faults.inject(fault, ({ method }) => method === 'PUT'),
    async [Symbol.asyncDispose]() {
      destinations.close()
      await faults[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}

describeDestination('http', (limits) =>
  start({ kind: 'header', name: 'X-Auth-Token', value: 'a-secret-token' }, limits)
)

const never = new AbortController().signal
async function* bytes(text: string) {
  yield Buffer.from(text)
}

describe('http credentials', () => {
  it.each<[Credentials | undefined, string, string | undefined]>([
    [undefined, 'authorization', undefined],
    [
      { kind: 'basic', username: 'Aladdin', password: 'open:sésame' },
      'authorization',
      'Basic QWxhZGRpbjpvcGVuOnPDqXNhbWU='
    ],
    [{ kind: 'bearer', token: 'abc.def' }, 'authorization', 'Bearer abc.def'],
    [{ kind: 'header', name: 'X-JFrog-Art-Api', value: 'key' }, 'x-jfrog-art-api', 'key']
  ])('%o are sent as %s', async (credentials, name, value) => {
    await using harness = await start(credentials)
    const upload = await harness.destination.open(harness.target(2), never)

    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)

    const [request] = harness.server.seen
    expect(request?.headers[name]).toBe(value)
    expect(request?.headers).toMatchObject({ 'content-length': '2', 'content-type': 'application/x-test' })
    expect(request?.headers['transfer-encoding']).toBeUndefined()
  })

  it.each<[Credentials, string]>([
    [{ kind: 's3_static' }, 'kind'],
    [{ kind: 'basic', username: 'a:b', password: 'c' }, 'username'],
    [{ kind: 'basic', username: 'a' }, 'password'],
    [{ kind: 'bearer', token: 'a\r\nX-Evil: 1' }, 'token'],
    [{ kind: 'header', name: 'X-A', value: 'a\nb' }, 'value'],
    [{ kind: 'header', name: 'X A', value: 'a' }, 'name'],
    [{ kind: 'header', name: 'X-A:', value: 'a' }, 'name'],
    ...[
      'Host',
      'content-length',
      'Content-Type',
      'Transfer-Encoding',
      'CONNECTION',
      'Expect',
      'Upgrade',
      'TE',
      'Proxy-Authorization'
    ].map((name): [Credentials, string] => [{ kind: 'header', name, value: 'a' }, 'name'])
  ])('%o are refused', async (credentials, field) => {
    await using harness = await start()

    expect(() => harness.destination.check(harness.target(1).url, credentials)).toThrow(
      expect.objectContaining({ code: 'DEST_CREDENTIALS_INVALID', pointer: `/export_to_credentials/${field}` })
    )
  })

  it('accepts servers that do not let it remove what it wrote', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(2), never)
    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)
    harness.faults.inject({ kind: 'answer', status: 405 }, ({ method }) => method === 'DELETE')

    await expect(upload.abort()).resolves.toBeUndefined()
  })

  it('says when it could not remove what it wrote', async () => {
    await using harness = await start()
    const upload = await harness.destination.open(harness.target(2), never)
    await upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)
    harness.faults.inject({ kind: 'answer', status: 500 }, ({ method }) => method === 'DELETE')

    await expect(upload.abort()).rejects.toMatchObject({ code: 'DEST_REJECTED', permanent: false })
  })

  it('does not go where a redirect points', async () => {
    await using harness = await start()
    await using other = await putServer()
    const upload = await harness.destination.open(harness.target(2), never)
    harness.breakNextPart({ kind: 'answer', status: 308, headers: { location: `http://127.0.0.1:${other.port}/x` } })

    await expect(upload.putPart({ number: 1, offset: 0, length: 2 }, bytes('hi'), never)).rejects.toMatchObject({
      code: 'DEST_REJECTED',
      permanent: true
    })
    expect(other.seen).toEqual([])
  })
})
