import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { freshDatabase } from '../../support/postgres.ts'
import { freshRedis } from '../../support/redis.ts'

it('gives each test file an empty database of its own', async () => {
  await using one = await freshDatabase()
  await using two = await freshDatabase()
  const client = new Client({ connectionString: one.url })
  await client.connect()
  await client.query('create table here (id int)')
  const other = new Client({ connectionString: two.url })
  await other.connect()

  const seen = await other.query(`select to_regclass('here') as here`)

  await client.end()
  await other.end()
  expect(seen.rows).toEqual([{ here: null }])
})

it('gives tests a Redis that runs scripts, which BullMQ lives on', async () => {
  const { url, prefix } = freshRedis()
  const redis = new Redis(url)

  const answer = await redis.eval(
    `redis.call('set', KEYS[1], ARGV[1]); return redis.call('get', KEYS[1])`,
    1,
    `${prefix}:a`,
    'b'
  )

  redis.disconnect()
  expect(answer).toBe('b')
})

it('makes a disk whose partition and file system are sound, without writing its empty parts', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'glance-export-support-'))

  const image = await makeDiskImage({ path: join(folder, 'disk.raw'), sizeMiB: 64, contentMiB: 4 })

  const { offset, length } = image.partition
  const check = spawnSync('e2fsck', ['-fn', `${image.path}?offset=${offset}`], {
    env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' }
  })
  const disk = await readFile(image.path)
  await rm(folder, { recursive: true })
  expect(check.status).toBe(0)
  expect(offset + length).toBeLessThan(disk.length)
  expect(disk.length).toBe(64 * MiB)
  expect(image.allocatedBytes).toBeLessThan(32 * MiB)
  expect(disk.toString('latin1', 512, 520)).toBe('EFI PART')
  expect(disk.toString('latin1', disk.length - 512, disk.length - 504)).toBe('EFI PART')
})
