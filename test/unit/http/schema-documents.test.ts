import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { beforeAll, describe, expect, test } from 'vitest'
import { imageId } from '../../../src/domain/ids.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const documentOf = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../openapi/${name}.json`, import.meta.url), 'utf8'))

const service = new MemoryService()
service.addImage({ id: imageId(IMAGE), status: 'active' })
const app = appOver(service, {
  formats: [...createFormats().keys()],
  defaultSwift: { url: 'swift://swift.example.com/AUTH_{project_id}', authUrl: 'https://keystone.example.com' }
})

describe.each(['export-request', 'export-response'])('/v2/schemas/%s', (name) => {
  const document = documentOf(name)

  test('is JSON Schema 2020-12 that stands alone, under a name of its own', () => {
    const ajv = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false })
    formats.default(ajv)

    expect(document).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: `urn:glance-export:schema:${name}`,
      title: expect.any(String)
    })
    expect(() => ajv.compile(document)).not.toThrow()
    expect(JSON.stringify(document)).not.toMatch(/"\$ref":"(?!#\/\$defs\/)/)
  })

  test('is served to whoever has a token', async () => {
    const answer = await app.inject({ url: `/v2/schemas/${name}`, headers: token('demo', 'nobody') })

    expect(answer.json()).toEqual(name === 'export-request' ? { ...document, $defs: expect.anything() } : document)
    expect((await app.inject({ url: `/v2/schemas/${name}` })).statusCode).toBe(401)
  })
})

test('the response enumerates every status of both vocabularies', () => {
  const { properties } = documentOf('export-response')

  expect(properties.task_status.enum).toEqual(['queued', 'processing', 'transferring', 'success', 'failure'])
  expect(properties.status.enum).toEqual(['pending', 'processing', 'success', 'failure'])
})

describe('a request is taken when the document takes it, and only then', () => {
  let allows: (body: unknown) => boolean
  beforeAll(() => {
    const ajv = new Ajv2020({ strict: false })
    const check = ajv.compile(documentOf('export-request'))
    allows = (body) => check(body)
  })

  const what = { export_to: 'https://example.com/p', export_format: 'qcow2' }
  const flat = { task_type: 'export', image_uuid: IMAGE, ...what }
  const basic = { kind: 'basic', username: 'u', password: 'p' }
  const glance = (input: object) => ({ type: 'export', input })

  test.each([
    flat,
    { ...flat, export_to_credentials: basic },
    { ...flat, export_to_credentials: { ...basic, token: 'x' } },
    { ...flat, export_to_credentials: { kind: 'nothing' } },
    { ...flat, export_to_credentials: { username: 'u' } },
    { ...flat, tags: ['a', 'b'], metadata: { a: 'b' }, priority: 'low', client_token: 'x' },
    { ...flat, tags: 'a' },
    { ...flat, limits: { bandwidth_bps: 65_535 } },
    { ...flat, limits: { bandwidth_bps: 65_536, deadline: new Date(Date.now() + 60_000).toISOString() } },
    { ...flat, limits: { deadline: '2026-12-01' } },
    { ...flat, object: { metadata: { 'glance-export-x': '1' } } },
    { ...flat, colour: 'red' },
    { ...flat, image_uuid: IMAGE.toUpperCase() },
    { ...flat, type: 'export' },
    { ...what, image_uuid: IMAGE },
    glance({ image_uuid: IMAGE, ...what }),
    glance({ image_id: IMAGE, ...what }),
    glance({ image_id: IMAGE, image_uuid: IMAGE, ...what }),
    glance(what),
    glance({ image_uuid: IMAGE, receiving_swift_container: 'c' }),
    glance({ image_uuid: IMAGE, receiving_swift_container: 'a/b' }),
    glance({ image_uuid: IMAGE, receiving_swift_container: 'c', export_format: 'vhd' }),
    glance({ image_id: IMAGE, receiving_swift_container: 'c' }),
    { ...glance({ image_uuid: IMAGE, ...what }), size: 1 },
    {},
    [],
    'export'
  ])('%j', async (body) => {
    const { statusCode } = await app.inject({
      method: 'POST',
      url: '/v2/tasks',
      headers: { ...token('demo'), 'content-type': 'application/json' },
      payload: JSON.stringify(body)
    })

    expect(statusCode).toBe(allows(body) ? 201 : 400)
  })
})
