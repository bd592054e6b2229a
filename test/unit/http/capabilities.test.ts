import { describe, expect, test } from 'vitest'
import { capabilitiesOf } from '../../../src/compose/capabilities.ts'
import { readConfig } from '../../../src/config.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { scrubPolicy } from '../../support/scrub-policy.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

type Shown = {
  export_formats: { name: string; max_virtual_bytes: number | null; options: Record<string, object> }[]
  destinations: { schemes: string[]; credentials: { kind: string; schema: string }[]; object_options: string[] }[]
  [name: string]: unknown
}

const app = appOver(new MemoryService())
const get = async (url: string, headers = token('demo', 'reader')) => (await app.inject({ url, headers })).json()
const shown = (await get('/v2/capabilities')) as Shown

describe('GET /v2/capabilities', () => {
  test('has every format with its options and its limit', () => {
    expect(shown.export_formats.map(({ name }) => name)).toEqual([...createFormats().keys()])
    expect(shown.export_formats.find(({ name }) => name === 'qcow2')).toEqual({
      name: 'qcow2',
      extension: 'qcow2',
      media_type: 'application/octet-stream',
      max_virtual_bytes: 2048 * 2 ** 40,
      options: {
        compression: { enum: ['none', 'zlib', 'zstd'] },
        level: { type: 'integer', minimum: 1, maximum: 19 },
        cluster_size: { enum: expect.arrayContaining([512, 65536, 2097152]) }
      }
    })
    expect(shown.export_formats.find(({ name }) => name === 'raw')).toMatchObject({
      max_virtual_bytes: null,
      options: {}
    })
  })

  test('leads to the schema of each kind of credentials', async () => {
    const document = await get('/v2/schemas/export-request')
    const kinds = shown.destinations.flatMap(({ credentials }) => credentials)

    expect(shown.destinations.flatMap(({ schemes }) => schemes)).toEqual(['http', 'https', 's3', 'swift', 'sftp'])
    expect(kinds.length).toBeGreaterThan(10)
    for (const { kind, schema } of kinds) {
      const [path, name] = schema.split('#/$defs/')
      expect([path, document.$defs[name ?? '']?.properties.kind.const]).toEqual(['/v2/schemas/export-request', kind])
    }
  })

  test('says what is limited, what is used, and what is scrubbed', async () => {
    const config = readConfig({ QUOTA_ACTIVE_TASKS: '5', RATE_LIMIT_WRITES: '0' }, { split: false })
    const tasks = { usage: async () => ({ activeTasks: 3, bytesToday: 42 }) }
    const parts = {
      config,
      tasks,
      formats: createFormats(),
      destinations: { all: [] },
      diskFormats: ['raw'],
      scrubPolicy: scrubPolicy({ minimum: 'generalize', required: ['logs'], generalize: ['-mail-spools'] })
    }
    const limited = appOver(new MemoryService(), { capabilities: capabilitiesOf(parts) })

    expect((await limited.inject({ url: '/v2/capabilities', headers: token('demo') })).json()).toMatchObject({
      source_formats: ['raw'],
      quotas: { active_tasks: { limit: 5, used: 3 }, bytes_per_day: { limit: null, used: 42 } },
      scrub: {
        profiles: ['none', 'metadata', 'generalize', 'custom'],
        default: 'metadata',
        minimum: 'generalize',
        minimum_property: 'export_scrub',
        steps: expect.arrayContaining([
          { id: 'logs', about: expect.any(String), generalizes: true, required: true },
          { id: 'mail-spools', about: expect.any(String), generalizes: false, required: false },
          { id: 'ssh-user-keys', about: expect.any(String), generalizes: false, required: false }
        ]),
        on_unrecognized_os: 'fail',
        secrets: 'report'
      },
      export_denied_by: ['export_allowed=false'],
      limits: {
        body_bytes: 65_536,
        json_depth: 32,
        page: { default: 25, maximum: 1000 },
        attempts: { default: 5, maximum: 20 },
        requests_per_minute: { reads: 6000, writes: null }
      }
    })
  })

  test('needs a role', async () => {
    expect((await app.inject({ url: '/v2/capabilities' })).statusCode).toBe(401)
    expect((await get('/v2/capabilities', token('demo', 'nobody'))).error.code).toBe(403)
  })
})
