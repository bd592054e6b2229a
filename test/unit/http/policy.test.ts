import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { POLICY } from '../../../src/http/access/policy.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

const ROOT = new URL('../../../', import.meta.url)
const ID = '11111111-1111-4111-8111-111111111111'

type Operation = { operationId: string; security?: object[] }
const { paths } = JSON.parse(readFileSync(new URL('openapi/openapi.json', ROOT), 'utf8')) as {
  paths: Record<string, Record<string, Operation>>
}
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { operationId, security }]) => ({ path, method, operationId, security }))
)

describe('the policy', () => {
  test('has a line for every operation but discovery, and no other', () => {
    const guarded = operations.filter(({ operationId, security }) => !security && !operationId.startsWith('schemaOf'))
    const optional = ['priority:high', 'deleteTask']

    expect(
      Object.keys(POLICY)
        .filter((action) => !optional.includes(action))
        .sort()
    ).toEqual(guarded.map(({ operationId }) => operationId).sort())
  })

  test('is the table of docs/operations.md', () => {
    const section = readFileSync(new URL('docs/operations.md', ROOT), 'utf8')
      .split(/^## /m)
      .find((text) => text.startsWith('Who may'))
    const rows = section?.matchAll(/^\| (`[^|]*) \| ([a-z, ]+) \|$/gm) ?? []
    const told = [...rows].flatMap(([, actions = '', roles = '']) =>
      actions.split(', ').map((action) => [action.replaceAll('`', ''), roles.split(', ')])
    )

    expect(Object.fromEntries(told)).toEqual(POLICY)
  })

  test('does not let a route start that nobody has thought of', async () => {
    const app = appOver(new MemoryService())

    expect(() => app.get('/v2/new', { schema: { operationId: 'newThing' } }, async () => 'x')).toThrow(
      'does not say who may use it'
    )
  })

  const app = appOver(new MemoryService())
  const guarded = operations.filter(({ operationId }) => operationId in POLICY)

  test.each(guarded)('holds for $method $path', async ({ path, method, operationId }) => {
    const url = path.replaceAll(/\{\w+\}/g, ID)
    const roles: readonly string[] = Reflect.get(POLICY, operationId)
    for (const role of ['reader', 'member', 'admin', 'someone', 'ADMIN']) {
      const answer = await app.inject({ method: method as 'GET', url, headers: token('demo', role) })

      expect([role, answer.statusCode === 403]).toEqual([role, !roles.includes(role.toLowerCase())])
      if (answer.statusCode === 403)
        expect(answer.json().error.message).toContain(`You are not authorized to complete ${operationId} action`)
    }
  })
})
