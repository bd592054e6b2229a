import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startNginx } from '../../peers/nginx.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRadosgw } from '../../peers/radosgw.ts'
import { startRclone } from '../../peers/rclone.ts'
import { startSshd } from '../../peers/sshd.ts'
import { startSwift, startSwiftWithKeystone } from '../../peers/swift.ts'

const START_MS = 300_000

/** Logs in by v1 auth, then writes an object and reads it back. */
async function roundTripV1(authUrl: string, user: string, key: string): Promise<string> {
  const login = await fetch(authUrl, { headers: { 'x-auth-user': user, 'x-auth-key': key } })
  const token = login.headers.get('x-auth-token') ?? ''
  return roundTrip(login.headers.get('x-storage-url') ?? '', token)
}

async function roundTrip(storageUrl: string, token: string): Promise<string> {
  const container = `${storageUrl}/c${randomUUID()}`
  const headers = { 'x-auth-token': token }
  await fetch(container, { method: 'PUT', headers })
  await fetch(`${container}/o`, { method: 'PUT', headers, body: 'some bytes' })
  return (await fetch(`${container}/o`, { headers })).text()
}

describeWithPeers(['swift'], 'Swift', () => {
  it('takes objects', { timeout: START_MS }, async () => {
    await using swift = await startSwift()
    expect(await roundTripV1(swift.authUrl, 'test:tester', 'testing')).toBe('some bytes')
  })

  it('is one for all who ask', { timeout: START_MS }, async () => {
    expect((await startSwift()).authUrl).toBe((await startSwift()).authUrl)
  })

  it('can refuse large objects, in an instance of its own', { timeout: START_MS }, async () => {
    await using swift = await startSwift({ maxFileSize: 5_000_000 })
    const info = (await (await fetch(`http://${swift.storageHost}/info`)).json()) as {
      swift: { max_file_size: number }
    }
    expect(info.swift.max_file_size).toBe(5_000_000)
    expect(await roundTripV1(swift.authUrl, 'test:tester', 'testing')).toBe('some bytes')
  })
})

describeWithPeers(['swift-keystone'], 'Swift with Keystone', () => {
  it('takes objects with a token of Keystone, at the place in its catalogue', { timeout: START_MS }, async () => {
    await using swift = await startSwiftWithKeystone()
    const { name, password, project } = swift.users.demo
    const domain = { id: 'default' }
    const login = await fetch(`${swift.keystoneUrl}/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        auth: {
          identity: { methods: ['password'], password: { user: { name, password, domain } } },
          scope: { project: { name: project, domain } }
        }
      })
    })
    const { token } = (await login.json()) as {
      token: { catalog: { type: string; endpoints: { url: string; interface: string }[] }[] }
    }
    const store = token.catalog.find(({ type }) => type === 'object-store')
    const { url } = store?.endpoints.find(({ interface: face }) => face === 'public') ?? { url: '' }

    expect(new URL(url).host).toBe(swift.keystoneStorageHost)
    expect(url).toContain(swift.users.demo.projectId)
    expect(await roundTrip(url, login.headers.get('x-subject-token') ?? '')).toBe('some bytes')
  })
})

describeWithPeers(['radosgw'], 'RGW', () => {
  it('takes objects', { timeout: START_MS }, async () => {
    await using rgw = await startRadosgw()
    expect(await roundTripV1(rgw.swiftAuthUrl, rgw.user, rgw.key)).toBe('some bytes')
    expect((await fetch(rgw.s3.endpoint)).status).toBe(200)
  })
})

describeWithPeers(['nginx'], 'nginx', () => {
  it('takes files', { timeout: START_MS }, async () => {
    await using nginx = await startNginx()
    const name = randomUUID()
    expect((await fetch(`${nginx.http}/put/${name}`, { method: 'PUT', body: 'some bytes' })).status).toBe(201)
    expect(await readFile(join(nginx.files, name), 'utf8')).toBe('some bytes')
    expect((await fetch(`${nginx.http}/bearer/${name}`, { method: 'PUT', body: 'x' })).status).toBe(401)
  })

  it('has a good, an expired and a wrong certificate, and one place that asks for ours', {
    timeout: START_MS
  }, async () => {
    await using nginx = await startNginx()
    const ask = (url: string, more: object = {}) => {
      const { promise, resolve } = Promise.withResolvers<string | number | undefined>()
      httpsRequest(`${url}/put/none`, { ca: nginx.caPem, ...more }, (answer) => resolve(answer.resume().statusCode))
        .on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
        .end()
      return promise
    }
    expect(await ask(nginx.https)).toBe(404)
    expect(await ask(nginx.httpsExpired)).toBe('CERT_HAS_EXPIRED')
    expect(await ask(nginx.httpsWrongName)).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(await ask(nginx.httpsClientCert)).toBe(400)
    const ours = { cert: nginx.clientCertPem, key: nginx.clientKeyPem }
    expect(await ask(nginx.httpsClientCert, ours)).toBe(404)
  })
})

describeWithPeers(['sshd'], 'sshd', () => {
  it('listens, with the key it says', { timeout: START_MS }, async () => {
    await using sshd = await startSshd()
    expect(sshd.hostKeySha256).toMatch(/^SHA256:[\w+/]{43}$/)
    expect(sshd.privateKeyPem).toContain('OPENSSH PRIVATE KEY')
    expect(existsSync(sshd.root)).toBe(true)
  })
})

describeWithPeers(['rclone'], 'rclone', () => {
  it('takes files', { timeout: START_MS }, async () => {
    await using rclone = await startRclone()
    const name = randomUUID()
    expect((await fetch(`${rclone.webdav}/${name}`, { method: 'PUT', body: 'some bytes' })).status).toBe(201)
    expect(await readFile(join(rclone.files, name), 'utf8')).toBe('some bytes')
  })
})
