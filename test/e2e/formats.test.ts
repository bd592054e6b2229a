import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { diskReaders } from '../../src/disks/registry.ts'
import { createFormats } from '../../src/formats/registry.ts'
import { makeDiskImage } from '../support/disk-image.ts'
import { freshDatabase } from '../support/postgres.ts'
import { putServer } from '../support/put-server.ts'
import { qemuImg } from '../support/qemu-img.ts'
import { removeDataDir } from '../support/remove-data-dir.ts'
import { s3Server } from '../support/s3-server.ts'
import { Client, type Json, type ServiceProcess, startProcess } from '../support/service.ts'

const KEY_ID = 'AKIDEXAMPLE'

/** Every source that there is a reader for, and how qemu-img makes one. */
const SOURCES: Record<string, string[]> = {
  raw: ['-O', 'raw'],
  qcow2: ['-O', 'qcow2', '-c'],
  vmdk: ['-O', 'vmdk', '-o', 'subformat=streamOptimized'],
  vhd: ['-O', 'vpc', '-o', 'force_size=on'],
  vhdx: ['-O', 'vhdx'],
  vdi: ['-O', 'vdi']
}
/** Every way to write, and how qemu-img reads it. */
const OUTPUTS: [string, Json, string][] = [
  ['raw', {}, 'raw'],
  ['qcow2', {}, 'qcow2'],
  ['qcow2', { cluster_size: 4096 }, 'qcow2'],
  ['qcow2', { compression: 'zlib' }, 'qcow2'],
  ['qcow2', { compression: 'zstd', level: 3 }, 'qcow2'],
  ['vhd', {}, 'vpc'],
  ['vhd', { subformat: 'fixed' }, 'vpc'],
  ['vhdx', {}, 'vhdx'],
  ['vdi', {}, 'vdi'],
  ['vmdk', {}, 'vmdk'],
  ['vmdk', { subformat: 'monolithicSparse' }, 'vmdk'],
  ['ova', {}, 'vmdk']
]
const UNCHECKED = ['raw', 'vpc']

let folder: string
let service: ServiceProcess
let client: Client
let disk: string
const ids: Record<string, string> = {}
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'formats-'))
  const database = await freshDatabase()
  service = startProcess('all', { DATA_DIR: join(folder, 'data'), DATABASE_URL: database.url, TASK_ATTEMPTS: '1' })
  closing.push(
    () => removeDataDir(folder),
    database.drop,
    () => service.stop()
  )
  client = new Client(String((await service.line('listening')).url))
  disk = join(folder, 'disk.raw')
  await makeDiskImage({ path: disk, sizeMiB: 64, contentMiB: 12 })
  for (const [format, args] of Object.entries(SOURCES)) {
    const path = join(folder, `source.${format}`)
    await qemuImg('convert', '-f', 'raw', ...args, disk, path)
    ids[format] = await client.upload(await readFile(path), format)
  }
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

async function expectTheDisk(bytes: Buffer, format: string, qemuFormat: string, task: Json) {
  const path = join(folder, 'exported')
  const ofTar = { input: bytes, maxBuffer: 1 << 28 }
  await writeFile(path, format === 'ova' ? execFileSync('tar', ['-xOf', '-', 'disk.vmdk'], ofTar) : bytes)
  if (!UNCHECKED.includes(qemuFormat)) await qemuImg('check', '-q', '-f', qemuFormat, path)
  await qemuImg('compare', '-q', '-f', 'raw', '-F', qemuFormat, disk, path)
  expect(task).toMatchObject({ message: '', progress: { percent: 100 }, result: { bytes: bytes.length } })
  expectDigests(bytes, task.result)
}

function expectDigests(bytes: Buffer, result: unknown) {
  const { checksums, composite_checksum: composite } = result as {
    checksums: { sha256?: string }
    composite_checksum?: { sha256: string; part_bytes: number }
  }
  const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest()
  if (!composite) return expect(checksums.sha256).toBe(sha256(bytes).toString('hex'))
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += composite.part_bytes)
    parts.push(sha256(bytes.subarray(at, at + composite.part_bytes)))
  expect(composite.sha256).toBe(sha256(Buffer.concat(parts)).toString('hex'))
}

describe('exports', () => {
  it('are tested from every source and to every format there is', () => {
    const alike = ['iso', 'ami', 'aki', 'ari'] // plain bytes, as raw
    expect([...diskReaders().keys()].filter((name) => !alike.includes(name)).sort()).toEqual(
      Object.keys(SOURCES).sort()
    )
    expect([...createFormats().keys()].sort()).toEqual([...new Set(OUTPUTS.map(([format]) => format))].sort())
  })

  it.each(OUTPUTS)('to %s %o with one PUT, from every source', async (format, options, qemuFormat) => {
    await using place = await putServer()
    for (const id of Object.values(ids)) {
      const exportTo = `http://127.0.0.1:${place.port}/place`
      const task = await client.ended(
        await client.export(id, exportTo, { export_format: format, format_options: options })
      )
      expect(task).toMatchObject({ task_status: 'success' })
      const stored = place.objects.get(new URL(String(task.export_location)).pathname)
      await expectTheDisk(stored ?? Buffer.of(), format, qemuFormat, task)
      place.objects.clear()
    }
  })

  it.each(OUTPUTS)('to %s %o in parts', async (format, options, qemuFormat) => {
    await using store = await s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } })
    const task = await client.ended(
      await client.export(ids.qcow2 ?? '', 's3://backup/vm', {
        export_format: format,
        format_options: options,
        export_to_credentials: {
          kind: 's3_static',
          access_key_id: KEY_ID,
          secret_access_key: 'x',
          endpoint: `http://127.0.0.1:${store.port}`,
          addressing_style: 'path'
        }
      })
    )
    expect(task).toMatchObject({ task_status: 'success' })
    await expectTheDisk([...store.objects.values()][0]?.body ?? Buffer.of(), format, qemuFormat, task)
  })

  it.each<[string, Json]>([
    ['qcow2', {}],
    ['qcow2', { compression: 'zlib' }],
    ['vhd', {}],
    ['vdi', {}],
    ['vmdk', {}]
  ])('of a sparse disk of 1 TiB to %s %o are small', async (format, options) => {
    await using place = await putServer()
    const path = join(folder, 'large.qcow2')
    await qemuImg('create', '-q', '-f', 'qcow2', path, '1T')
    const id = await client.upload(await readFile(path), 'qcow2')
    const exportTo = `http://127.0.0.1:${place.port}/place`
    const task = await client.ended(
      await client.export(id, exportTo, { export_format: format, format_options: options })
    )
    expect(task).toMatchObject({ task_status: 'success', result: { virtual_size: 2 ** 40 } })
    expect([...place.objects.values()][0]?.length).toBeLessThan(8 << 20)
  })

  describe('of an image that breaks at 60 %', () => {
    let broken: string
    beforeAll(async () => {
      const path = join(folder, 'source.qcow2')
      const bytes = await readFile(path)
      // Compressed clusters stand one after another: noise in the middle of them is found when they are unpacked.
      bytes.fill(0xa5, Math.floor(bytes.length * 0.6), Math.floor(bytes.length * 0.6) + 4096)
      broken = await client.upload(bytes, 'qcow2')
    })

    it.each<[string, Json]>([
      ['raw', {}],
      ['qcow2', {}],
      ['qcow2', { compression: 'zlib' }],
      ['vmdk', {}]
    ])('to %s %o end in failure and leave nothing, at any destination', async (format, options) => {
      await using place = await putServer()
      await using store = await s3Server({ buckets: ['backup'], keys: { [KEY_ID]: undefined } })
      const credentials = { kind: 's3_static', access_key_id: KEY_ID, secret_access_key: 'x', addressing_style: 'path' }
      const asked = { export_format: format, format_options: options }
      const tasks = [
        await client.export(broken, `http://127.0.0.1:${place.port}/place`, asked),
        await client.export(broken, 's3://backup/vm', {
          ...asked,
          export_to_credentials: { ...credentials, endpoint: `http://127.0.0.1:${store.port}` }
        })
      ]
      for (const id of tasks) {
        const task = await client.ended(id)
        expect(task).toMatchObject({
          task_status: 'failure',
          message: expect.stringContaining('refused by the rule'),
          failure: { code: 'IMAGE_UNSAFE', actor: 'user', retriable: false }
        })
      }
      expect([place.objects.size, store.objects.size, store.uploads.size]).toEqual([0, 0, 0])
    })
  })

  it.each([
    ['raw', { compression: 'zlib' }, /compression/],
    ['qcow2', { level: 3 }, /level/],
    ['qcow2', { compression: 'zlib', level: 12 }, /level/],
    ['qcow2', { cluster_size: 1000 }, /cluster_size/],
    ['vhd', { subformat: 'monolithicSparse' }, /subformat/],
    ['vhdx', { subformat: 'fixed' }, /subformat/],
    ['qcow2', { colour: 'red' }, /colour/]
  ])('to %s refuse the options %o', async (format, options, named) => {
    const body = { task_type: 'export', image_uuid: ids.raw, export_to: 'http://127.0.0.1/x', export_format: format }
    const answer = await client.call('POST', '/v2/tasks', { ...body, format_options: options })
    expect(answer.status).toBe(400)
    expect(JSON.stringify(answer.body)).toMatch(named)
  })
})
