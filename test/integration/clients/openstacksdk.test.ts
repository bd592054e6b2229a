import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeWithClient, python } from './debian.ts'
import { keystone } from './keystone.ts'
import { type Alter, proxy } from './proxy.ts'
import { TOKEN, type WholeService, wholeService } from './whole-service.ts'

describeWithClient('sdk', 'openstacksdk', () => {
  let service: WholeService
  let wanted = ''
  beforeAll(async () => {
    service = await wholeService()
    const image = await service.client.upload(Buffer.alloc(4096), 'raw')
    wanted = JSON.stringify({ image_uuid: image, export_to: service.place, export_format: 'qcow2' })
    for (const place of [service.place, service.refusal]) await service.client.export(image, place)
    await service.startWorker()
  })
  afterAll(() => service[Symbol.asyncDispose]())

  const sdk = async (login: string, alter?: Alter) => {
    await using between = await proxy(service.url, alter)
    const done = await python(service.home, 'openstacksdk.py', login, between.url, TOKEN, wanted, service.refusal)
    return { done, asked: between.seen.map(({ method, path }) => `${method} ${path}`), seen: between.seen }
  }

  it.each(['override', 'token'])('makes tasks, waits for them and lists them, logged in by %s', async (login) => {
    const { done, asked, seen } = await sdk(login)

    expect(done).toEqual({
      created: ['export', 'pending', 'demo'],
      waited: 'success',
      failed: 'ResourceFailure',
      listed: true,
      filtered: ['failure'],
      missing: 'ResourceNotFound',
      schemas: ['task', 'tasks']
    })
    // An endpoint that ends in /v2 needs no discovery; discovery needs no token.
    expect(asked.slice(0, 2)).toEqual(
      login === 'token' ? ['POST /v2/tasks', expect.any(String)] : ['GET /', 'POST /v2/tasks']
    )
    const discovery = seen.find(({ path }) => path === '/')
    expect(discovery?.headers['x-auth-token']).toBeUndefined()
    expect(seen.find(({ path }) => path.startsWith('/v2/tasks?'))?.headers.accept).toBe('application/json')
  })

  it('finds the service in the catalogue of Keystone', async () => {
    await using cloud = await keystone(TOKEN, { image: service.url })

    expect(
      await python(service.home, 'openstacksdk.py', 'password', cloud.url, TOKEN, wanted, service.refusal)
    ).toMatchObject({ waited: 'success' })
  })

  it('goes where the versions point, so that they have to be right', async () => {
    const elsewhere: Alter = (answer, { url }) =>
      url === '/' ? { ...answer, body: answer.body.replaceAll('/v2/', '/images/v2/') } : answer

    await expect(sdk('override', elsewhere)).rejects.toThrow('/images/v2/tasks, The resource could not be found')
  })
})
