import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import {
  GO,
  GONE_BYTES,
  GREETING_BYTES,
  numbers,
  option,
  rawClient,
  request,
  servedBytes,
  serving
} from './nbd-clients.ts'
import { describeWithTools, tool } from './tools.ts'

const EIO = 5
const EINVAL = 22
const ENOSPC = 28

describeWithTools(['nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io'], 'a served disk', () => {
  it('is what nbdinfo says: its size, what may be asked, and one export', async () => {
    await using server = await serving(servedBytes(Buffer.alloc(5 * MiB)))

    const info = await tool('nbdinfo', '--json', server.uri)
    const list = await tool('nbdinfo', '--list', '--json', server.uri)

    expect(JSON.parse(info).exports[0]).toMatchObject({
      'export-size': 5 * MiB,
      is_read_only: false,
      can_flush: true,
      can_trim: true,
      can_zero: true,
      block_size_minimum: 512
    })
    expect(JSON.parse(list).exports).toHaveLength(1)
  })

  it('is copied out and in by nbdcopy, byte for byte', async () => {
    await using folder = await scratch()
    const content = randomBytes(9 * MiB)
    const disk = servedBytes(Buffer.from(content))
    await using server = await serving(disk)

    await tool('nbdcopy', server.uri, folder.file('out'))
    const other = randomBytes(9 * MiB)
    await writeFile(folder.file('in'), other)
    await tool('nbdcopy', folder.file('in'), server.uri)

    expect((await readFile(folder.file('out'))).equals(content)).toBe(true)
    expect(disk.bytes.equals(other)).toBe(true)
  })

  it('compares equal for qemu-img, also by the old way to begin', async () => {
    await using folder = await scratch()
    const content = randomBytes(3 * MiB)
    await writeFile(folder.file('same'), content)
    await using server = await serving(servedBytes(content))

    const compared = await tool('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', folder.file('same'), server.uri)

    expect(compared).toContain('Images are identical')
  })

  it('takes writes, flushes, trims and zeroes of qemu-io, and keeps no zeros', async () => {
    const disk = servedBytes(randomBytes(4 * MiB))
    const expected = Buffer.from(disk.bytes)
      .fill(0xcd, 4096, 8192)
      .fill(0, MiB, MiB + 65536)
      .fill(0, 512, 1024)
    expected.fill(0, 2 * MiB, 2 * MiB + 4096)
    await using server = await serving(disk)

    await tool(
      'qemu-io',
      ...[
        '-f',
        'raw',
        '-d',
        'unmap',
        '-c',
        'write -P 0xcd 4k 4k',
        '-c',
        `discard ${MiB} 64k`,
        '-c',
        'write -z 512 512'
      ],
      ...['-c', `write -P 0 ${2 * MiB} 4k`, '-c', 'flush', '-c', 'read -P 0xcd 4k 4k', server.uri]
    )

    expect(disk.bytes.equals(expected)).toBe(true)
    expect(server.trimmedBytes).toBe(65536)
    expect(disk.asked).toEqual(['write 4096 4096', `zero ${MiB} 65536`, 'zero 512 512', `zero ${2 * MiB} 4096`])
  })

  it('keeps no zeros that are written between other bytes', async () => {
    const written = Buffer.alloc(65536 + 512)
    for (const at of [4095, 8192, 65536]) written[at] = 1
    const disk = servedBytes(randomBytes(MiB))
    const expected = Buffer.from(disk.bytes)
    written.copy(expected, 512)
    await using server = await serving(disk)
    await using folder = await scratch()
    await writeFile(folder.file('written'), written)

    await tool('qemu-io', '-f', 'raw', '-c', `write -s ${folder.file('written')} 512 ${written.length}`, server.uri)

    expect(disk.bytes.equals(expected)).toBe(true)
    expect(disk.asked).toEqual([
      'write 512 4096',
      'zero 4608 4096',
      'write 8704 4096',
      'zero 12800 53248',
      'write 66048 512'
    ])
  })
})

describe('a served disk', () => {
  it('answers requests that stand behind one another, in their order', async () => {
    const disk = servedBytes(Buffer.alloc(4096, 7))
    await using server = await serving(disk)
    using client = await rawClient(server.path)

    client.send(numbers(4, 1), GO, request(1, 512, 512), Buffer.alloc(512, 9), request(0, 512, 512), request(2, 0, 0))
    const heard = await client.hearsToTheEnd()

    const answers = heard.subarray(GREETING_BYTES + GONE_BYTES)
    expect(answers.length).toBe(16 + 16 + 512)
    expect(answers.subarray(8, 16).toString()).toBe('cookie!!')
    expect(answers.subarray(32).equals(Buffer.alloc(512, 9))).toBe(true)
  })

  it('can be had by its name, which is empty', async () => {
    await using server = await serving(servedBytes(Buffer.alloc(4096, 7)))
    using padded = await rawClient(server.path)
    using short = await rawClient(server.path)

    padded.send(numbers(4, 1), option(1), request(2, 0, 0))
    short.send(numbers(4, 3), option(1), request(2, 0, 0))

    expect((await padded.hearsToTheEnd()).length).toBe(GREETING_BYTES + 134)
    expect((await short.hearsToTheEnd()).length).toBe(GREETING_BYTES + 10)
  })

  it.each([
    ['a read past the end', request(0, 4096, 512), EINVAL],
    ['a read over the end', request(0, 3584, 1024), EINVAL],
    ['a read far past the end', request(0, 2n ** 64n - 512n, 512), EINVAL],
    ['a read of half a sector', request(0, 0, 256), EINVAL],
    ['a read between sectors', request(0, 1, 512), EINVAL],
    ['a read of nothing', request(0, 0, 0), EINVAL],
    ['a read of 4 GiB', request(0, 0, 2 ** 32 - 512), EINVAL],
    ['a write past the end', Buffer.concat([request(1, 4096, 512), Buffer.alloc(512)]), ENOSPC],
    ['a trim over the end', request(4, 0, 2 ** 32 - 512), ENOSPC],
    ['zeroes over the end', request(6, 3584, 1024), ENOSPC],
    ['a flush of something', request(3, 0, 512), EINVAL],
    ['an unknown request', request(7, 0, 512), EINVAL],
    ['a flag that was not offered', request(0, 0, 512, 1), EINVAL]
  ])('refuses %s, and goes on', async (_name, bytes, error) => {
    const disk = servedBytes(Buffer.alloc(4096, 7))
    await using server = await serving(disk)
    using client = await rawClient(server.path)

    client.send(numbers(4, 3), GO, bytes, request(0, 0, 512), request(2, 0, 0))
    const answers = (await client.hearsToTheEnd()).subarray(GREETING_BYTES + GONE_BYTES)

    expect(answers.readUInt32BE(4)).toBe(error)
    expect(answers.length).toBe(16 + 16 + 512)
    expect(disk.asked).toEqual([])
  })

  it.each([
    ['flags that were not offered', [numbers(4, 0xff)]],
    ['no option', [numbers(4, 3), 'GET / HTTP/1.1\r\nHost: here\r\n\r\n']],
    ['an option of 4 GiB', [numbers(4, 3), option(7, Buffer.alloc(0), 2 ** 32 - 1)]],
    ['a name there is none of, the old way', [numbers(4, 3), option(1, Buffer.from('other'))]],
    ['options without end', [numbers(4, 3), Buffer.concat(Array.from({ length: 70 }, () => option(3)))]],
    ['no request', [numbers(4, 3), GO, Buffer.alloc(28, 0x55)]],
    ['a write of more than is taken', [numbers(4, 3), GO, request(1, 0, 2 ** 31)]]
  ])('hangs up on %s', async (_name, bytes) => {
    const disk = servedBytes(Buffer.alloc(4096, 7))
    await using server = await serving(disk)
    using client = await rawClient(server.path)

    client.send(...bytes)
    await client.hearsToTheEnd()

    expect(disk.asked).toEqual([])
  })

  it.each([
    ['a name it has not', option(7, Buffer.concat([numbers(4, 5), Buffer.from('other'), numbers(2, 0)])), 0x80000006],
    ['a name longer than its option', option(7, Buffer.concat([numbers(4, 2 ** 31), numbers(2, 0)])), 0x80000003],
    ['more facts than are named', option(6, Buffer.concat([numbers(4, 0), numbers(2, 9)])), 0x80000003],
    ['half an option', option(7, Buffer.alloc(3)), 0x80000003],
    ['a list of something', option(3, Buffer.from('x')), 0x80000003],
    ['encryption', option(5), 0x80000001],
    ['structured replies', option(8), 0x80000001]
  ])('says no to %s, and goes on', async (_name, bytes, answer) => {
    await using server = await serving(servedBytes(Buffer.alloc(4096, 7)))
    using client = await rawClient(server.path)

    client.send(numbers(4, 3), bytes, option(2))
    const heard = (await client.hearsToTheEnd()).subarray(GREETING_BYTES)

    expect(heard.readUInt32BE(12)).toBe(answer)
    expect(heard.readUInt32BE(20 + 12)).toBe(1)
  })

  it('forgets half a request whose client went away', async () => {
    const disk = servedBytes(Buffer.alloc(4096, 7))
    await using server = await serving(disk)
    {
      using client = await rawClient(server.path)
      client.send(numbers(4, 3), GO, request(1, 0, 4096), Buffer.alloc(1000))
      await client.hears(GREETING_BYTES + GONE_BYTES)
    }
    using next = await rawClient(server.path)
    next.send(numbers(4, 3), GO, request(0, 0, 512), request(2, 0, 0))
    const answers = (await next.hearsToTheEnd()).subarray(GREETING_BYTES + GONE_BYTES)

    expect(answers.subarray(16).equals(Buffer.alloc(512, 7))).toBe(true)
    expect(disk.asked).toEqual([])
  })

  it('keeps the error of its disk, of which the client learns that there was one', async () => {
    const disk = servedBytes(Buffer.alloc(4096))
    const broken = Object.assign(disk, { read: () => Promise.reject(new Error('the store is away')) })
    await using server = await serving(broken)
    using client = await rawClient(server.path)

    client.send(numbers(4, 3), GO, request(0, 0, 512), request(2, 0, 0))
    const answers = (await client.hearsToTheEnd()).subarray(GREETING_BYTES + GONE_BYTES)

    expect(answers.readUInt32BE(4)).toBe(EIO)
    expect(answers.length).toBe(16)
    expect(server.failure).toMatchObject({ message: 'the store is away' })
  })

  it('lets go of clients that wait when it is disposed of', async () => {
    const server = await serving(servedBytes(Buffer.alloc(4096)))
    using client = await rawClient(server.path)
    client.send(numbers(4, 3), GO)
    await client.hears(GREETING_BYTES + GONE_BYTES)

    await server[Symbol.asyncDispose]()

    expect(await client.hearsToTheEnd()).toHaveLength(0)
  })
})

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'nbd-files-'))
  return {
    file: (name: string) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true })
  }
}
