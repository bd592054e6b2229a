import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** As much of Keystone as clients need to log in: every password gives the same token and catalogue. */
export async function keystone(token: string, catalogue: Readonly<Record<string, string>>) {
  const server = createServer(async (request, response) => {
    await buffer(request)
    const version = { id: 'v3.14', status: 'stable', links: [{ rel: 'self', href: `${url}/v3/` }] }
    const json = (status: number, body: object, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    if (request.url === '/v3/auth/tokens') json(201, { token: tokenBody(catalogue) }, { 'x-subject-token': token })
    else if (/^\/v3\/?$/.test(request.url ?? '')) json(200, { version })
    else json(300, { versions: { values: [version] } })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `${url}/v3`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

const tokenBody = (catalogue: Readonly<Record<string, string>>) => {
  const domain = { id: 'default', name: 'Default' }
  return {
    methods: ['password'],
    user: { id: 'alice', name: 'alice', domain },
    project: { id: 'demo', name: 'demo', domain },
    roles: [{ id: 'member', name: 'member' }],
    issued_at: '2026-11-22T06:50:39.000000Z',
    expires_at: '2036-11-22T06:50:39.000000Z',
    catalog: Object.entries(catalogue).map(([type, url]) => ({
      id: type,
      name: type,
      type,
      endpoints: [{ id: type, interface: 'public', region: 'RegionOne', region_id: 'RegionOne', url }]
    }))
  }
}
