import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { apiDocuments } from '../../../src/start/openapi.ts'

const ROOT = new URL('../../../', import.meta.url)

const documents = await apiDocuments()

test.each(Object.keys(documents))('openapi/%s is what the service serves; npm run openapi writes it', async (name) => {
  expect(await readFile(new URL(`openapi/${name}`, ROOT), 'utf8')).toBe(documents[name])
})

describe('openapi/openapi.json', () => {
  test('passes redocly lint', async () => {
    const cli = fileURLToPath(new URL('node_modules/@redocly/cli/bin/cli.js', ROOT))
    const run = promisify(execFile)(process.execPath, [cli, 'lint', 'openapi/openapi.json', '--format=json'], {
      cwd: fileURLToPath(ROOT),
      env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
    })

    const { stdout } = await run

    expect(JSON.parse(stdout).totals).toMatchObject({ errors: 0, warnings: 0 })
  })

  test('says of every operation who may use it, what it is for and how it can fail', async () => {
    const document = JSON.parse(documents['openapi.json'] ?? '') as Document
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path))

    expect(operations.length).toBeGreaterThan(15)
    for (const { operationId, summary, description, security, requestBody, responses } of operations) {
      expect([operationId, summary, description]).toEqual(Array(3).fill(expect.any(String)))
      expect(['401', '429'].map((status) => status in responses)).toEqual(Array(2).fill(security === undefined))
      if (security === undefined) expect(responses).toHaveProperty('503.headers.retry-after')
      if (requestBody) expect(Object.keys(responses)).toEqual(expect.arrayContaining(['400', '413']))
    }
    const bodies = operations.flatMap(({ requestBody }) => Object.values(requestBody?.content ?? {}))
    expect(bodies.filter((body) => body.schema.format !== 'binary' && !hasExample(document, body))).toEqual([])
    expect(bodies.length).toBeGreaterThan(5)
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  })
})

/** Of request bodies: beside the schema, or in each of its forms. */
function hasExample({ components }: Document, { schema, example, examples }: Body): boolean {
  const forms = (schema.anyOf ?? [schema]).map(({ $ref = '' }) => components.schemas[$ref.split('/').at(-1) ?? ''])
  return example !== undefined || examples !== undefined || forms.every((form) => form?.examples !== undefined)
}

type Body = {
  schema: { $ref?: string; format?: string; anyOf?: { $ref?: string }[] }
  example?: unknown
  examples?: unknown
}
type Document = {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, { examples?: unknown[] }> }
}
type Operation = {
  requestBody?: { content: Record<string, Body> }
  operationId?: string
  summary?: string
  description?: string
  security?: []
  responses: Record<string, unknown>
}
