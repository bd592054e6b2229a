import { createHash } from 'node:crypto'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Nginx, startNginx } from '../../peers/nginx.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { removeDataDir } from '../../support/remove-data-dir.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../../support/service.ts'

const IMAGE = Buffer.alloc(1 << 20, 'glance-export ')

describeWithPeers(['nginx'], 'the service exports to nginx', () => {
  const closing: (() => Promise<unknown>)[] = []
  let service: ServiceProcess
  let client: Client
  let image: string
  let nginx: Nginx

  beforeAll(async () => {
    nginx = await startNginx()
    const folder = await mkdtemp(join(tmpdir(), 'http-service-'))
    const database = await freshDatabase()
    closing.push(() => removeDataDir(folder), database.drop)
    service = startProcess('all', { DATABASE_URL: database.url, DATA_DIR: folder, TASK_ATTEMPTS: '1' })
    closing.push(() => service.stop())
    client = new Client(String((await service.line('listening')).url))
    image = await client.upload(IMAGE, 'raw')
  })
  afterAll(async () => {
    for (const close of closing.reverse()) await close()
  })

  const run = async (exportTo: string, credentials?: Json) =>
    client.ended(
      await client.export(image, exportTo, {
        export_format: 'raw',
        ...(credentials && { export_to_credentials: credentials })
      })
    )

  it.each<[string, (at: Nginx) => [string, Json?]]>([
    ['over http', ({ http }) => [`${http}/put`]],
    ['with its own authority', ({ https, caPem }) => [`${https}/put`, { kind: 'none', tls: { ca_pem: caPem } }]],
    [
      'with a client certificate',
      ({ httpsClientCert, caPem, clientCertPem, clientKeyPem }) => [
        `${httpsClientCert}/put`,
        { kind: 'mtls', cert_pem: clientCertPem, key_pem: clientKeyPem, tls: { ca_pem: caPem } }
      ]
    ]
  ])('%s', async (_, where) => {
    const [exportTo, credentials] = where(nginx)

    const task = await run(exportTo, credentials)

    expect(task).toMatchObject({ task_status: 'success', message: '' })
    const name = String(task.export_location).slice(`${exportTo}/`.length)
    const stored = await readFile(join(nginx.files, name))
    expect(createHash('sha256').update(stored).digest('hex')).toBe(createHash('sha256').update(IMAGE).digest('hex'))
  })

  it.each<[string, (at: Nginx) => [string, Json?], string]>([
    ['a redirect to the metadata address', ({ http }) => [`${http}/rmeta`], 'DEST_REJECTED'],
    ['a redirect to another place', ({ http }) => [`${http}/r307`], 'DEST_REJECTED'],
    ['an unknown authority', ({ https }) => [`${https}/put`], 'DEST_TLS_UNTRUSTED'],
    [
      'a wrong password',
      ({ http }) => [`${http}/auth`, { kind: 'basic', username: 'user', password: 'CANARY' }],
      'DEST_AUTH_FAILED'
    ],
    ['a refusal', ({ http }) => [`${http}/e403`], 'DEST_FORBIDDEN'],
    ['a place to read only', ({ http }) => [`${http}/ro`], 'DEST_REJECTED']
  ])('and fails at once when it meets %s', async (_, where, code) => {
    const task = await run(...where(nginx))

    expect(task).toMatchObject({ task_status: 'failure', failure: { code, attempts: 1 } })
    expect(JSON.stringify([task, service.log])).not.toMatch(/CANARY|169\.254/)
  })
})
