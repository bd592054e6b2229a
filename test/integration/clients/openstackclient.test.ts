import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEBIAN, describeWithClient, printed } from './debian.ts'
import { keystone } from './keystone.ts'
import { TOKEN, type WholeService, wholeService } from './whole-service.ts'

const OPENSTACK = DEBIAN.openstack.file
/** `image task list|show` came with 6.1. */
const VERSION = existsSync(OPENSTACK) ? execFileSync(OPENSTACK, ['--version'], { encoding: 'utf8' }).trim() : ''
const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(VERSION) ?? []
const hasTasks = Number(major) > 6 || (major === '6' && Number(minor) >= 1)

describeWithClient('openstack', 'python-openstackclient', () => {
  let service: WholeService
  let cloud: Awaited<ReturnType<typeof keystone>>
  let image = ''
  let task = ''
  beforeAll(async () => {
    service = await wholeService()
    cloud = await keystone(TOKEN, { image: service.url })
    image = await service.client.upload(Buffer.alloc(4096), 'raw')
    task = await service.client.export(image, service.place)
  })
  afterAll(async () => {
    await cloud[Symbol.asyncDispose]()
    await service[Symbol.asyncDispose]()
  })

  const openstack = async (...args: string[]) => {
    const login = ['--os-auth-url', cloud.url, '--os-username', 'alice', '--os-password', 'secret']
    const project = ['--os-project-name', 'demo', '--os-user-domain-id', 'default', '--os-project-domain-id', 'default']
    return printed(service.home, OPENSTACK, ...login, ...project, ...args)
  }
  const json = async (...args: string[]) => JSON.parse(await openstack(...args, '-f', 'json'))

  it('lists, shows, creates, changes, saves and deletes images', async () => {
    await writeFile(`${service.home}/disk.raw`, Buffer.alloc(4096))
    const data = ['--disk-format', 'raw', '--file', `${service.home}/disk.raw`, '--property', 'os_distro=debian']
    const { id } = await json('image', 'create', ...data, 'second')
    await openstack('image', 'set', '--name', 'renamed', '--min-ram', '512', id)
    const shown = await json('image', 'show', id)
    const listed: { ID: string; Name: string }[] = await json('image', 'list')
    await openstack('image', 'save', '--file', `${service.home}/saved.raw`, image)

    expect(shown).toMatchObject({ id, name: 'renamed', min_ram: 512, properties: { os_distro: 'debian' } })
    expect(listed.map(({ ID }) => ID).sort()).toEqual([id, image].sort())
    expect(existsSync(`${service.home}/saved.raw`)).toBe(true)
    await openstack('image', 'delete', id)
    await expect(json('image', 'show', id)).rejects.toThrow(/No Image found|Could not find|not found/i)
  })

  it('says why an image cannot be deleted while it is exported', async () => {
    await expect(openstack('image', 'delete', image)).rejects.toThrow(/409|in use/)
  })

  const tasks = (name: string, body: () => void) =>
    hasTasks
      ? describe(name, body)
      : describe.skip(
          name,
          { meta: { skipReason: `${VERSION} has no \`image task\` commands; they came with 6.1` } },
          body
        )
  tasks('image task', () => {
    it('list shows id, type, status and owner', async () => {
      const listed = await json(
        'image',
        'task',
        'list',
        '--status',
        'pending',
        '--sort-key',
        'created_at',
        '--limit',
        '1'
      )

      expect(listed).toContainEqual({ ID: task, Type: 'export', Status: 'pending', Owner: 'demo' })
    })

    it('show shows one', async () => {
      expect(await json('image', 'task', 'show', task)).toMatchObject({ id: task, type: 'export', status: 'pending' })
    })
  })
})
