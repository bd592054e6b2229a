import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Range } from '../../../src/disks/disk.ts'
import { eraseXfs } from '../../../src/scrub/appliance/xfs/erase-xfs.ts'
import { seededRandom, Workshop } from '../disks/workshop.ts'
import { describeWithTools, tool } from './tools.ts'

/** FUZZ_MUTANTS takes more of each image for a longer search: the same ones first, as the seed is the same. */
const MUTANTS = Number(process.env.FUZZ_MUTANTS ?? 250)
const PLANTED = Buffer.from('PLANTED-7f1c93d2')
const NEVER = new AbortController().signal
const NAMES = 400

const KINDS: Readonly<Record<string, readonly string[]>> = {
  'version 5': [],
  'version 4': ['-m', 'crc=0'],
  'large blocks of folders': ['-n', 'size=16384'],
  'small blocks': ['-b', 'size=1024'],
  'large inodes': ['-i', 'size=2048'],
  'large counts of extents': ['-i', 'nrext64=1'],
  'whole chunks of inodes': ['-i', 'sparse=0']
}

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(() => workshop[Symbol.asyncDispose]())

const device = (bytes: Buffer) => ({
  virtualSize: bytes.length,
  async read(target: Uint8Array, offset: number) {
    bytes.copy(target, 0, offset)
  },
  async write(from: Uint8Array, offset: number) {
    bytes.set(from, offset)
  },
  async erase(ranges: readonly Range[]) {
    for (const { offset, length } of ranges) bytes.fill(0, offset, offset + length)
  },
  async flush() {}
})

/** A file system with a small folder and a large one, links, a device, and a file that was never written. */
async function makeXfs(options: readonly string[]): Promise<{ readonly path: string; readonly bytes: Buffer }> {
  const links = Array.from({ length: NAMES }, (_, i) => `a-rather-long-name-${i} l--777 0 0 target-${i}`)
  const small = ['link l--777 0 0 somewhere/else', 'device c--644 0 0 1 3']
  const lines = ['none', '0 0', 'd--755 0 0', 'small d--755 0 0', ...small, '$', 'held r--644 0 0 1000000']
  const prototype = await workshop.write(
    'prototype',
    Buffer.from([...lines, 'large d--755 0 0', ...links, '$', '$', ''].join('\n'))
  )
  const path = workshop.path('xfs')
  await writeFile(path, '')
  await tool('truncate', '-s', '40M', path)
  await tool('mkfs.xfs', '--unsupported', '-q', '-f', '-d', 'agcount=2', '-p', prototype, ...options, path)
  return { path, bytes: await readFile(path) }
}

const facts = async (path: string) => {
  const printed = await tool('xfs_db', '-r', '-c', 'sb 0', '-c', 'print', path)
  const fact = (name: string) => Number(new RegExp(`^${name} = (\\d+)$`, 'm').exec(printed)?.[1])
  const blockBytes = fact('blocksize')
  return {
    blockBytes,
    inodeBytes: fact('inodesize'),
    sectorBytes: fact('sectsize'),
    groups: fact('agcount'),
    groupBytes: fact('agblocks') * blockBytes
  }
}

/** Where bytes stand that nothing uses, each found in another way than by walking the trees, by the kind of place. */
async function unusedPlaces(path: string, bytes: Buffer): Promise<ReadonlyMap<string, readonly number[]>> {
  const { blockBytes, inodeBytes, sectorBytes, groups, groupBytes } = await facts(path)
  const places = new Map<string, number[]>()
  const add = (kind: string, at: number, room: number) => {
    if (room >= PLANTED.length) places.set(kind, [...(places.get(kind) ?? []), at])
  }
  for (let at = 0; at < bytes.length; at += inodeBytes) {
    const version = bytes[at + 4] ?? 0
    if (bytes.toString('latin1', at, at + 2) !== 'IN' || ![2, 3].includes(version)) continue
    const content = version === 3 ? 176 : 100
    const [mode, format, split] = [bytes.readUInt16BE(at + 2), bytes[at + 5] ?? 0, (bytes[at + 82] ?? 0) * 8]
    const isLarge = version === 3 && (bytes.readBigUInt64BE(at + 120) & 16n) !== 0n
    const extents = isLarge ? Number(bytes.readBigUInt64BE(at + 24)) : bytes.readUInt32BE(at + 76)
    const used = mode === 0 ? 0 : [4, Number(bytes.readBigUInt64BE(at + 56)), 16 * extents][format]
    if (used === undefined) throw new Error(`an inode of format ${format}`)
    const room = (split || inodeBytes - content) - used
    const kind = mode === 0 ? 'free' : (['device', 'local', 'extents'][format] ?? '')
    add(`${kind} inode`, at + content + used, room)
    add(`${kind} inode's end`, at + content + used + room - PLANTED.length, room)
  }
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const magic = bytes.toString('latin1', at, at + 4)
    if (!/^XD[BD]3$|^XD2[BD]$/.test(magic)) continue
    const best = at + (magic.endsWith('3') ? 48 : 4)
    const [offset, length] = [bytes.readUInt16BE(best), bytes.readUInt16BE(best + 2)]
    add('names', at + offset + 4, length - 6)
    add("names' end", at + offset + length - 2 - PLANTED.length, length - 6)
  }
  const printed = await tool('xfs_db', '-r', '-c', 'path /held', '-c', 'bmap', path)
  const [, start, blocks] = /startblock \d+ \(0\/(\d+)\) count (\d+) flag 1/.exec(printed) ?? []
  add('never written', Number(start) * blockBytes, Number(blocks) * blockBytes)
  add('never written, at the end', (Number(start) + Number(blocks)) * blockBytes - PLANTED.length, PLANTED.length)
  for (let group = 0; group < groups; group += 1) {
    const headBytes = 4 * sectorBytes
    add('behind a head', group * groupBytes + headBytes, blockBytes - headBytes)
    const list = await tool(
      'xfs_db',
      '-r',
      '-c',
      `agf ${group}`,
      '-c',
      'print flfirst flcount',
      '-c',
      `agfl ${group}`,
      '-c',
      'print bno',
      path
    )
    const [, first, count] = /flfirst = (\d+)\s+flcount = (\d+)/.exec(list) ?? []
    const start =
      group * groupBytes +
      3 * sectorBytes +
      (bytes.toString('latin1', group * groupBytes + 3 * sectorBytes, group * groupBytes + 3 * sectorBytes + 4) ===
      'XAFL'
        ? 36
        : 0)
    for (let i = Number(first); i < Number(first) + Number(count); i += 1) {
      add('spare', group * groupBytes + bytes.readUInt32BE(start + 4 * i) * blockBytes, blockBytes)
    }
  }
  return places
}

/** What its own tools see in it. */
async function seen(bytes: Buffer): Promise<string> {
  const path = await workshop.write('seen', bytes)
  await tool('xfs_repair', '-n', path)
  const looks = ['path /', 'ls', 'path /small', 'ls', 'print', 'path /large', 'ls', 'path /held', 'print', 'bmap']
  return tool('xfs_db', '-r', ...looks.flatMap((look) => ['-c', look]), path)
}

describeWithTools(['mkfs.xfs', 'xfs_db', 'xfs_repair'], 'an xfs', () => {
  it.each(Object.keys(KINDS))(
    'with %s has zeros wherever nothing is in use, sums that are right, and all else as it was',
    async (name) => {
      const { path, bytes: made } = await makeXfs(KINDS[name] ?? [])
      const sound = Buffer.from(made)
      await eraseXfs(device(sound), NEVER)
      const places = await unusedPlaces(path, made)
      const bytes = Buffer.from(made)
      for (const at of [...places.values()].flat()) PLANTED.copy(bytes, at)

      await eraseXfs(device(bytes), NEVER)

      expect([...places.keys()].sort()).toEqual(
        [
          ...['free', 'device', 'local', 'extents'].flatMap((kind) => [`${kind} inode`, `${kind} inode's end`]),
          'names',
          "names' end",
          ...(KINDS[name]?.includes('size=1024') ? [] : ['behind a head']),
          'never written',
          'never written, at the end',
          'spare'
        ].sort()
      )
      expect(bytes.indexOf(PLANTED)).toBe(-1)
      expect(bytes.equals(sound)).toBe(true)
      expect(await seen(bytes)).toBe(await seen(made))
    }
  )

  it.each(Object.keys(KINDS))('with %s that lies is refused, or read to its end', async (name) => {
    const { path, bytes: sound } = await makeXfs(KINDS[name] ?? [])
    const { blockBytes, inodeBytes, sectorBytes, groups, groupBytes } = await facts(path)
    const heads = Array.from({ length: groups }, (_, group) => [group * groupBytes, 4 * sectorBytes] as const)
    const marks = /^(?:IAB|BMA|XDB|XDD|XD2)/
    const places: (readonly [number, number])[] = [[0, 256], ...heads]
    for (let at = 0; at < sound.length; at += Math.min(blockBytes, inodeBytes)) {
      if (marks.test(sound.toString('latin1', at, at + 4))) places.push([at, blockBytes], [at, 128])
      if (sound.toString('latin1', at, at + 2) === 'IN' && sound[at + 2] !== 0) places.push([at, 256])
    }
    const random = seededRandom(name.length)
    const ends = new Map<string, number>()

    for (let i = 0; i < MUTANTS; i += 1) {
      const wrong = mutations(sound, places, random)
      const end = await eraseXfs(unchanging(sound, wrong), NEVER).then(
        () => 'read',
        (error: Error & { readonly rule?: string }) => `${error.name} ${error.rule ?? error.message}`
      )
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }

    expect([...ends.keys()].sort()).toEqual(['Refused xfs', 'read'])
  })

  it('whose trees go round is refused', async () => {
    const { path, bytes } = await makeXfs([])
    const { sectorBytes, blockBytes } = await facts(path)
    const root = bytes.readUInt32BE(2 * sectorBytes + 20)
    bytes.writeUInt32BE(root, root * blockBytes + 12)

    await expect(eraseXfs(device(bytes), NEVER)).rejects.toMatchObject({ name: 'Refused', rule: 'xfs' })
  })
})

type Change = readonly [at: number, bytes: Buffer]

/** Reads with changes in it, and forgets what is written. */
const unchanging = (bytes: Buffer, changes: readonly Change[]) => ({
  ...device(bytes),
  async read(target: Uint8Array, offset: number) {
    bytes.copy(target, 0, offset)
    for (const [at, changed] of changes) {
      const inTarget = at - offset
      if (inTarget >= 0 && inTarget + changed.length <= target.length) target.set(changed, inTarget)
    }
  },
  async write() {},
  async erase() {}
})

/** One to three fields with values that hurt. */
function mutations(sound: Buffer, places: readonly (readonly [number, number])[], random: () => number): Change[] {
  const below = (limit: number) => Math.floor(random() * limit)
  const edges = [0, 1, 2 ** 16 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 2]
  return Array.from({ length: 1 + below(3) }, () => {
    const [start, length] = places[below(places.length)] ?? [0, 4]
    const at = start + below(length / 4) * 4
    const field = Buffer.from(sound.subarray(at, at + 4))
    const kind = random()
    if (kind < 0.4) field[below(4)] = below(256)
    else field.writeUInt32BE(kind < 0.7 ? (edges[below(edges.length)] ?? 0) : below(5000))
    return [at, field]
  })
}
