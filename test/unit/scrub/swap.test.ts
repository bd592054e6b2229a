import { readFile, truncate } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { Workshop } from '../disks/workshop.ts'
import { scrubFile, searchLast } from './guest-disk.ts'
import { describeWithTools, tool } from './tools.ts'

const MIB = 2 ** 20

describeWithTools(['mkswap'], 'a swap area', () => {
  it.each([4096, 65536])('keeps its first page of %i bytes and loses all others', async (pageBytes) => {
    await using workshop = await Workshop.open()
    const path = await workshop.write('swap', Buffer.alloc(2 * MIB, 'memory of a process '))
    await tool(
      'mkswap',
      '-q',
      '-p',
      String(pageBytes),
      '-L',
      'swapped',
      '-U',
      '5f1b9f4e-6a0c-4d52-9a43-0d1a5c1e2b01',
      path
    )
    const before = await readFile(path)

    const { report } = await scrubFile(path, workshop.path('scrubbed'))

    const after = await readFile(workshop.path('scrubbed'))
    expect(report.partitions).toMatchObject([{ fileSystem: 'swap', trusted: true, freeBytes: 2 * MIB - pageBytes }])
    expect(after.subarray(0, pageBytes).equals(before.subarray(0, pageBytes))).toBe(true)
    expect(after.subarray(pageBytes).every((byte) => byte === 0)).toBe(true)
    expect(before.includes('memory of a process', pageBytes)).toBe(true)
  })

  it('keeps what follows it in its partition', async () => {
    await using workshop = await Workshop.open()
    const path = await workshop.write('swap', Buffer.alloc(MIB))
    await tool('mkswap', '-q', path)
    await truncate(path, 2 * MIB)

    const { extents } = await scrubFile(path, workshop.path('scrubbed'))

    expect([...extents]).toEqual([{ offset: 4096, length: MIB - 4096 }])
  })
})

describe('what looks like a swap area', () => {
  const area = ({ mark = 'SWAPSPACE2', version = 1, lastPage = 255 }) => {
    const bytes = Buffer.alloc(MIB)
    bytes.write(mark, 4086)
    bytes.writeUInt32LE(version, 1024)
    bytes.writeUInt32LE(lastPage, 1028)
    return bytes
  }

  it.each([
    ['a guest that is suspended', { mark: 'S1SUSPEND' }, 'hibernated'],
    ['a new version', { version: 2 }, 'revision'],
    ['one of another byte order', { version: 0x01000000 }, 'revision'],
    ['one larger than its partition', { lastPage: 256 }, 'size'],
    ['one without pages', { lastPage: 0 }, 'size'],
    ['one of all pages there can be', { lastPage: 0xffffffff }, 'size']
  ])('is left alone: %s', async (_what, fields, rule) => {
    const { extents, report } = await searchLast(area(fields))

    expect(report).toMatchObject({ fileSystem: 'swap', trusted: false, rule })
    expect(extents.bytes).toBe(0)
  })
})
