import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEBIAN, describeWithClient, printed } from './debian.ts'

export type RunningService = {
  /** Root of the service, without `/v2`. */
  readonly url: string
  /** For X-Auth-Token; of a member. */
  readonly token: string
  /** Where tasks may be asked to export to. */
  readonly exportTo: string
  stop(): Promise<void>
}

/**
 * Drives a service with python-glanceclient, as users do. `start` makes one that has no images; what becomes of its tasks
 * does not matter here.
 */
export function describeGlanceclient(name: string, start: () => Promise<RunningService>): void {
  describeWithClient('glance', `python-glanceclient against ${name}`, () => {
    const bytes = Buffer.alloc(1024 * 1024, 'disk')
    let service: RunningService
    let home = ''
    beforeAll(async () => {
      service = await start()
      home = await mkdtemp(join(tmpdir(), 'glanceclient-'))
      await writeFile(join(home, 'disk.raw'), bytes)
    })
    afterAll(async () => {
      await service.stop()
      await rm(home, { recursive: true, force: true })
    })

    const glance = (...args: string[]) => run(service, home, args)
    const createImage = (name: string, ...args: string[]) =>
      glance(
        ...['image-create', '--name', name, '--disk-format', 'raw', '--container-format', 'bare'],
        ...['--file', join(home, 'disk.raw'), ...args]
      )

    test('creates an image, shows, lists, changes and downloads it, and exports it', async () => {
      const created = await createImage('web', '--property', 'os_distro=debian')
      expect(created).toMatchObject({ name: 'web', status: 'active', size: `${bytes.length}`, os_distro: 'debian' })
      const id = created.id ?? ''

      expect(await glance('image-list')).toEqual({ [id]: 'web' })
      expect(await glance('image-show', id)).toMatchObject({ id, checksum: created.checksum })

      const changed = await glance(
        ...['image-update', id, '--name', 'web-2', '--min-ram', '512'],
        ...['--property', 'os_version=13', '--remove-property', 'os_distro']
      )
      expect(changed).toMatchObject({ name: 'web-2', min_ram: '512', os_version: '13' })
      expect(changed).not.toHaveProperty('os_distro')

      await glance('image-download', id, '--file', join(home, 'copy.raw'))
      expect((await readFile(join(home, 'copy.raw'))).equals(bytes)).toBe(true)

      const input = JSON.stringify({ image_uuid: id, export_to: service.exportTo, export_format: 'qcow2' })
      const task = await glance('task-create', '--type', 'export', '--input', input)
      expect(task).toMatchObject({ type: 'export', image_id: id })
      expect(await glance('task-show', task.id ?? '')).toMatchObject({ id: task.id, image_uuid: id })
      expect(Object.keys(await glance('task-list'))).toEqual([task.id])
    })

    test('deletes an image', async () => {
      const { id = '' } = await createImage('gone')

      await glance('image-delete', id)

      await expect(glance('image-show', id)).rejects.toThrow(`No image found with ID ${id}`)
    })

    test('follows next through several pages', async () => {
      const names = ['page-1', 'page-2', 'page-3']
      for (const name of names) await createImage(name)

      const listed = Object.values(await glance('image-list', '--page-size', '2', '--sort', 'name:asc'))

      expect(listed.filter((name) => name.startsWith('page-'))).toEqual(names)
    })

    test('shows the messages of refusals', async () => {
      const unknown = '11111111-1111-4111-8111-111111111111'

      await expect(glance('task-show', unknown)).rejects.toThrow(`Could not find task ${unknown}`)
      await expect(glance('task-create', '--type', 'export', '--input', '{}')).rejects.toThrow(
        'input.image_uuid is required'
      )
      await expect(run({ ...service, token: 'nobody' }, home, ['image-list'])).rejects.toThrow(
        'Invalid OpenStack Identity credentials'
      )
    })
  })
}

/** What `glance` printed, by the first two columns of its table. */
async function run(service: RunningService, home: string, args: readonly string[]): Promise<Record<string, string>> {
  const login = ['--os-image-url', service.url, '--os-auth-token', service.token]
  const stdout = await printed(home, DEBIAN.glance.file, ...login, ...args)
  const rows = stdout
    .split('\n')
    .flatMap((line) => (line.startsWith('| ') ? [line.split('|').map((cell) => cell.trim())] : []))
  return Object.fromEntries(rows.slice(1).map(([, name = '', value = '']) => [name, value]))
}
