import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { expect } from 'vitest'
import { type Answer, exchange } from './exchange.ts'
import { TOKEN } from './whole-service.ts'

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
export const UNKNOWN = '11111111-1111-4111-8111-111111111111'
const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed'
}

/** One exchange of the contract with Glance's clients. */
export type Row = {
  readonly name?: string
  readonly method?: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  /** Of a member if left out; null sends none. */
  readonly token?: string | null
  readonly body?: string | Buffer
  readonly status: number
  /** What the answer's headers have to match. */
  readonly answered?: Readonly<Record<string, RegExp>>
  /** What the message of the error has to match. */
  readonly message?: RegExp
  /** What the JSON body has to have, or the whole body as text. */
  readonly shows?: object | string
}

/** For `it.each`: with what stands in the name of the test. */
export const rows = (...table: readonly Row[]): [string, Row][] =>
  table.map((row) => [`${row.name ?? `${row.method ?? 'GET'} ${row.path}`}: ${row.status}`, row])

/** Asks the service at a URL, which is known when it runs. */
export function contract(url: () => string) {
  const ask = (row: Omit<Row, 'status'>): Promise<Answer> => {
    const token = row.token === undefined ? TOKEN : row.token
    const headers = { ...(token !== null && { 'X-Auth-Token': token }), ...row.headers }
    return exchange(url(), row.method ?? 'GET', row.path, headers, row.body)
  }
  return {
    ask,
    async holds(row: Row): Promise<void> {
      const answer = await ask(row)

      expect(answer.status).toBe(row.status)
      for (const [name, value] of Object.entries(row.answered ?? {}))
        expect(headerOf(answer.headers, name)).toMatch(value)
      if (row.status >= 400 && row.method !== 'HEAD') expectError(answer, row.message)
      if (typeof row.shows === 'string') expect(answer.body).toBe(row.shows)
      else if (row.shows) expect(JSON.parse(answer.body)).toMatchObject(row.shows)
    }
  }
}

/** The form that glanceclient, keystoneauth, openstacksdk and tempest read: nothing stands beside `error`. */
export function expectError({ status, headers, body }: Answer, message = /./): void {
  expect(headers['content-type']).toMatch(/^application\/json(; charset=utf-8)?$/)
  expect(headers['x-openstack-request-id']).toMatch(/^req-/)
  const parsed = JSON.parse(body)
  expect(Object.keys(parsed)).toEqual(['error'])
  expect(parsed.error).toMatchObject({ code: status, title: TITLES[status], message: expect.stringMatching(message) })
}

export const headerOf = (headers: IncomingHttpHeaders, name: string): string =>
  String(headers[name] ?? '(no such header)')
