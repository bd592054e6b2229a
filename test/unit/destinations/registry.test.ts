import { afterAll, expect, it } from 'vitest'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { parseTarget } from '../../../src/destinations/target.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

const destinations = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [] })

it.each(['http://example.org', 'https://example.org', 's3://bucket', 'swift://a/b/c'])(
  'knows where %s belongs',
  (text) => {
    const target = parseTarget(text)

    expect(destinations.forTarget(target).schemes).toContain(target.protocol.slice(0, -1))
  }
)

it.each(['ftp://example.org', 'file:///etc', 'constructor://a'])('refuses %s and lists what it takes', (text) => {
  expect(() => destinations.forTarget(parseTarget(text))).toThrow(
    expect.objectContaining({
      code: 'DEST_SCHEME_DISABLED',
      pointer: '/export_to',
      message: expect.stringContaining('http, https, s3, swift, sftp')
    })
  )
})

it('offers a schema for every kind of credentials', () => {
  const kinds = destinations.credentialSchemas.map((schema) => JSON.parse(JSON.stringify(schema)).properties.kind.const)

  expect(new Set(kinds).size).toBe(kinds.length)
  expect(kinds).toEqual(expect.arrayContaining(['basic', 's3_static', 'tempauth', 'application_credential', 'ssh_key']))
})

it('has file:// where the operator gave it a folder', () => {
  const withFiles = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints: [], fileRoot: '/srv' })

  expect(withFiles.forTarget(parseTarget('file:///a')).anonymous).toBe(true)
})
