import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { openapiDocument } from '../../../src/start/openapi.ts'

const ROOT = new URL('../../../', import.meta.url)

describe('openapi/openapi.json', () => {
  test('is what the routes say; npm run openapi writes it', async () => {
    expect(await readFile(new URL('openapi/openapi.json', ROOT), 'utf8')).toBe(await openapiDocument())
  })

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
    const { paths } = JSON.parse(await openapiDocument()) as { paths: Record<string, Record<string, Operation>> }
    const operations = Object.values(paths).flatMap((path) => Object.values(path))

    expect(operations.length).toBeGreaterThan(15)
    for (const { summary, description, security, responses } of operations) {
      expect([summary, description]).toEqual([expect.any(String), expect.any(String)])
      expect('401' in responses).toBe(security === undefined)
    }
  })
})

type Operation = { summary?: string; description?: string; security?: []; responses: Record<string, unknown> }
