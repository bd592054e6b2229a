import type { LookupFunction } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { parseTarget } from '../../../src/destinations/target.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { addressVectors } from '../../support/address-vectors.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const hashers = createHashers(1)
const toLoopback = ((_name, _options, callback) =>
  callback(null, [{ address: '127.0.0.1', family: 4 }])) as LookupFunction
const destinations = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [], lookup: toLoopback })
afterAll(() => {
  destinations.close()
  hashers.close()
})

/** The way of every `export_to`: the grammar, then the scheme, then the policy. */
const admit = (exportTo: string) => () => {
  const url = parseTarget(exportTo)
  destinations.forTarget(url).check(url, undefined)
}
const refusal = expect.objectContaining({
  code: expect.stringMatching(/^DEST_(URL_INVALID|ADDRESS_FORBIDDEN)$/),
  pointer: '/export_to'
})

describe.each(addressVectors())('$host ($verdict)', ({ host, verdict }) => {
  it.each(['https', 'http', 'HTTPS'])('in %s', async (scheme) => {
    const exportTo = `${scheme}://${host}/exports/image`

    if (verdict === 'deny') {
      expect(admit(exportTo)).toThrow(refusal)
      return
    }
    expect(admit(exportTo)).not.toThrow()
    if (verdict === 'allow') return
    // A name that leads to the loopback is found out by the connection.
    const target = uploadTarget(exportTo, 10)
    await expect(destinations.forTarget(target.url).find(target, new AbortController().signal)).rejects.toMatchObject({
      code: 'DEST_ADDRESS_FORBIDDEN',
      permanent: true
    })
  })
})
