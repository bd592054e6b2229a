import { execFileSync } from 'node:child_process'
import { symlink, truncate } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { SourceReadFailed } from '../../../src/domain/errors.ts'
import { Workshop } from './workshop.ts'

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

describe('openLocalFile', () => {
  it('reads at any position', async () => {
    await using file = await openLocalFile(await workshop.write('plain', Buffer.from('0123456789')))
    const target = Buffer.alloc(4)

    await file.read(target, 3)

    expect(target.toString()).toBe('3456')
    expect(file.size).toBe(10)
  })

  it.each([
    [10, 7],
    [1, 10],
    [1, -1],
    [1, Number.NaN]
  ])('refuses a read of %i bytes at %d of 10', async (length, offset) => {
    await using file = await openLocalFile(await workshop.write('ten', Buffer.from('0123456789')))

    await expect(file.read(Buffer.alloc(length), offset)).rejects.toThrow(RangeError)
  })

  it('says so when the file has become shorter', async () => {
    const path = await workshop.write('cut', Buffer.alloc(1000))
    await using file = await openLocalFile(path)
    await truncate(path, 500)

    await expect(file.read(Buffer.alloc(1000), 0)).rejects.toThrow(SourceReadFailed)
  })

  it('opens neither a symbolic link, a folder, a FIFO nor nothing', async () => {
    const target = await workshop.write('target', Buffer.from('secret'))
    await symlink(target, workshop.path('link'))
    execFileSync('mkfifo', [workshop.path('fifo')])

    for (const name of ['link', '.', 'fifo', 'missing']) {
      await expect(openLocalFile(workshop.path(name)), name).rejects.toThrow(SourceReadFailed)
    }
  })

  it('can be disposed of twice', async () => {
    const file = await openLocalFile(await workshop.write('twice', Buffer.from('x')))
    await file[Symbol.asyncDispose]()

    await expect(file[Symbol.asyncDispose]()).resolves.toBeUndefined()
  })

  it('keeps the path out of what it throws', async () => {
    await expect(openLocalFile(workshop.path('missing'))).rejects.toMatchObject({
      message: expect.not.stringContaining(workshop.folder)
    })
  })
})
