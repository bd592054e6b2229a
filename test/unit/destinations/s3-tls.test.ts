import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, DestinationCheck } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { s3Server } from '../../support/s3-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { bytes, part } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal
const pem = (name: string) => readFileSync(join(import.meta.dirname, 'tls', name), 'utf8')

/** A store behind TLS whose certificate comes from an authority that nobody knows. */
async function start(trust: Partial<Credentials>) {
  const store = await s3Server({ buckets: ['exports'], keys: { AKIATEST: undefined } })
  const server = createServer({ key: pem('server-key.pem'), cert: pem('server.pem') }, (socket) => {
    const plain = connect(store.port, '127.0.0.1')
    socket.on('error', () => plain.destroy())
    plain.on('error', () => socket.destroy())
    socket.pipe(plain).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const destinations = createDestinations({
    hashers,
    allowedNetworks: ['127.0.0.0/8'],
    allowedEndpoints: [],
    lookup: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }])
  })
  const credentials = {
    kind: 's3_static',
    access_key_id: 'AKIATEST',
    secret_access_key: 'a-secret-key',
    endpoint: `https://storage.example.org:${port}`,
    ...trust
  }
  const destination = destinations.forScheme('s3')
  const target = uploadTarget('s3://exports/p', 1000, credentials)
  const [tls] = destination.checks(target) as readonly [DestinationCheck]
  return {
    destination,
    target,
    tls,
    store,
    async [Symbol.asyncDispose]() {
      destinations.close()
      await store[Symbol.asyncDispose]()
      server.close()
    }
  }
}

describe('an s3 store with an authority of its own', () => {
  it('is trusted when the credentials bring the authority', async () => {
    await using harness = await start({ tls: { ca_pem: pem('ca.pem') } })

    expect(harness.tls.id).toBe('dest.tls')
    expect(await harness.tls.run(never)).toMatchObject({ version: 'TLSv1.3' })
    const upload = await harness.destination.open(harness.target, never)
    await upload.putPart(part(1000), bytes(1000), never)
    await upload.commit(never)

    expect([...harness.store.objects.values()].map(({ body }) => body.length)).toEqual([1000])
  })

  it('is not trusted otherwise', async () => {
    await using harness = await start({})

    const untrusted = { code: 'DEST_TLS_UNTRUSTED', permanent: true }
    await expect(harness.tls.run(never)).rejects.toMatchObject(untrusted)
    await expect(harness.destination.open(harness.target, never)).rejects.toMatchObject(untrusted)
    expect(harness.store.uploads.size).toBe(0)
  })
})
