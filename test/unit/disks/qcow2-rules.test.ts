import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import {
  CLUSTER,
  COMPRESSED,
  COMPRESSED_TEXT,
  COPIED,
  DATA,
  HEADER,
  IS_COMPRESSED,
  L1,
  L2,
  putCompressed,
  REFCOUNT_BLOCK,
  REFCOUNT_TABLE,
  SPARE,
  tinyQcow2
} from './tiny-qcow2.ts'
import { Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 34 }
const BEYOND = 1n << 40n

const open = (bytes: Buffer) => openDisk(memoryFile(bytes), 'qcow2', LIMITS, diskReaders())

/** The rule that refuses the image when it is opened or read, or undefined. */
async function refusal(bytes: Buffer): Promise<unknown> {
  try {
    const disk = await open(bytes)
    await disk.read(Buffer.alloc(disk.virtualSize), 0)
    return undefined
  } catch (error) {
    return error
  }
}

type Break = [rule: string, what: string, how: (file: Buffer) => unknown]

const word = (at: number, value: number) => (file: Buffer) => file.writeUInt32BE(value, at)
const long = (at: number, value: bigint) => (file: Buffer) => file.writeBigUInt64BE(value, at)

/** A header extension of this type and data. */
const extension = (type: number, data: Buffer) => (file: Buffer) => {
  file.writeUInt32BE(type, HEADER.extensions)
  file.writeUInt32BE(data.length, HEADER.extensions + 4)
  data.copy(file, HEADER.extensions + 8)
}

const bitmaps = (fields: { count?: number; size?: bigint; offset?: bigint }) => (file: Buffer) => {
  const data = Buffer.alloc(24)
  data.writeUInt32BE(fields.count ?? 1, 0)
  data.writeBigUInt64BE(fields.size ?? 32n, 8)
  data.writeBigUInt64BE(fields.offset ?? BigInt(SPARE), 16)
  extension(0x23852875, data)(file)
  long(HEADER.autoclear, 1n)(file)
}

/** One snapshot in the spare cluster. */
const snapshot = (change: (file: Buffer) => unknown) => (file: Buffer) => {
  word(HEADER.snapshotCount, 1)(file)
  long(HEADER.snapshots, BigInt(SPARE))(file)
  long(SPARE, BigInt(L1))(file)
  word(SPARE + 8, 1)(file)
  change(file)
}

const BREAKS: Break[] = [
  ['backing_file', 'a backing file without a name', long(HEADER.backingFile, 1n)],
  ['version', 'version 4', word(HEADER.version, 4)],
  ['cluster_bits', 'clusters of 256 B', word(HEADER.clusterBits, 8)],
  ['cluster_bits', 'clusters of 4 MiB', word(HEADER.clusterBits, 22)],
  ['virtual_size', 'no disk', long(HEADER.size, 0n)],
  ['virtual_size', 'less than a sector', long(HEADER.size, 511n)],
  ['virtual_size_limit', 'a disk of 2^64 - 512', long(HEADER.size, 2n ** 64n - 512n)],
  ['encryption', 'LUKS', word(HEADER.encryption, 2)],
  ['encryption', 'an encryption header', extension(0x0537be77, Buffer.alloc(16))],
  ['data_file', 'the name of a data file', extension(0x44415441, Buffer.from('/etc/passwd'))],
  ['data_file', 'the data file bit', long(HEADER.incompatible, 4n)],
  ['corrupt', 'the corrupt bit', long(HEADER.incompatible, 2n)],
  ['extended_l2', 'extended L2 entries', long(HEADER.incompatible, 16n)],
  ['incompatible_features', 'feature 5', long(HEADER.incompatible, 32n)],
  ['incompatible_features', 'feature 63', long(HEADER.incompatible, 1n << 63n)],
  ['compression_type', 'a type without its bit', (file) => file.writeUInt8(1, HEADER.compression)],
  ['compression_type', 'the bit without a type', long(HEADER.incompatible, 8n)],
  [
    'compression_type',
    'an unknown type',
    (file) => {
      long(HEADER.incompatible, 8n)(file)
      file.writeUInt8(2, HEADER.compression)
    }
  ],
  ['refcount_order', 'counts of 128 bits', word(HEADER.refcountOrder, 7)],
  ['header_length', 'a short header', word(HEADER.length, 96)],
  ['header_length', 'an odd header', word(HEADER.length, 108)],
  ['header_length', 'a header beyond its cluster', word(HEADER.length, CLUSTER + 8)],
  ['header_extension', 'an extension beyond the cluster', extension(0x12345678, Buffer.alloc(CLUSTER - 119))],
  ['l1_size', 'no L1 entries', word(HEADER.l1Size, 0)],
  ['l1_size', 'one L1 entry too few', word(HEADER.l1Size, 1)],
  ['l1_size', 'an L1 table above 32 MiB', word(HEADER.l1Size, 2 ** 22 + 1)],
  ['l1_table', 'an L1 table past the end', word(HEADER.l1Size, 2 ** 22)],
  ['l1_table', 'an L1 table far outside', long(HEADER.l1Offset, 2n ** 64n - BigInt(CLUSTER))],
  ['l1_table', 'an L1 table across clusters', long(HEADER.l1Offset, BigInt(L1 + 512))],
  ['l1_table', 'an L1 table in the header', long(HEADER.l1Offset, 0n)],
  ['refcount_table_size', 'no refcount table', word(HEADER.refcountTableClusters, 0)],
  ['refcount_table_size', 'a refcount table of 16 TiB', word(HEADER.refcountTableClusters, 0xffffffff)],
  ['refcount_table', 'a refcount table past the end', word(HEADER.refcountTableClusters, 9)],
  ['refcount_table', 'a refcount table across clusters', long(HEADER.refcountTable, BigInt(REFCOUNT_TABLE + 8))],
  ['refcount_block', 'a refcount block outside', long(REFCOUNT_TABLE, BEYOND)],
  ['refcount_block', 'a refcount block past 2^53', long(REFCOUNT_TABLE, 2n ** 63n)],
  ['refcount_block', 'a refcount block across clusters', long(REFCOUNT_TABLE, BigInt(SPARE + 512))],
  ['refcount_missing', 'no refcount block', long(REFCOUNT_TABLE, 0n)],
  ['metadata_overlap', 'a refcount block on the L1 table', long(REFCOUNT_TABLE + 8, BigInt(L1))],
  ['metadata_overlap', 'a refcount block twice', long(REFCOUNT_TABLE + 8, BigInt(REFCOUNT_BLOCK))],
  ['metadata_overlap', 'an L2 table on the refcount table', long(L1, COPIED | BigInt(REFCOUNT_TABLE))],
  ['metadata_overlap', 'an L2 table in the header', long(L1, COPIED)],
  ['metadata_overlap', 'a bitmap directory on the L2 table', bitmaps({ offset: BigInt(L2) })],
  ['l1_reserved', 'L1 bit 8', long(L1, BigInt(L2 + 256))],
  ['l1_reserved', 'L1 bit 56', long(L1, BigInt(L2) | (1n << 56n))],
  ['l1_unaligned', 'an L2 table across clusters', long(L1, BigInt(L2 + 512))],
  ['l2_outside', 'an L2 table outside', long(L1, BEYOND)],
  ['l2_outside', 'an L2 table that ends outside', (file) => long(L1, BigInt(file.length))(file)],
  ['l2_shared', 'an L2 table twice', long(L1 + 8, COPIED | BigInt(L2))],
  ['l2_reserved', 'L2 bit 1', long(L2, BigInt(DATA + 2))],
  ['l2_reserved', 'L2 bit 61', long(L2, BigInt(DATA) | (1n << 61n))],
  ['l2_reserved', 'a compressed cluster that is copied', long(L2, COPIED | IS_COMPRESSED | BigInt(COMPRESSED))],
  ['l2_reserved', 'a zero flag in version 2', word(HEADER.version, 2)],
  ['l2_unaligned', 'data across clusters', long(L2, BigInt(DATA + 512))],
  ['l2_unaligned', 'allocated zeros across clusters', long(L2, BigInt(DATA + 512) | 1n)],
  ['data_in_metadata', 'data in cluster 0', long(L2, COPIED)],
  ['data_in_metadata', 'data in the L1 table', long(L2, BigInt(L1))],
  ['data_in_metadata', 'data in the L2 table itself', long(L2, COPIED | BigInt(L2))],
  ['data_in_metadata', 'compressed data in the header', long(L2, IS_COMPRESSED | 600n)],
  ['data_in_metadata', 'compressed data in the L1 table', long(L2, IS_COMPRESSED | BigInt(L1 + 16))],
  [
    'data_in_metadata',
    'compressed data that reaches into the L1 table',
    long(L2, IS_COMPRESSED | (1n << 58n) | BigInt(L1 - 512))
  ],
  ['data_in_metadata', 'data in the snapshot table', (file) => snapshot(long(L2, BigInt(SPARE)))(file)],
  ['data_in_metadata', 'its last data in the L1 table', long(L2 + 32, BigInt(L1))],
  ['data_outside', 'data outside', long(L2, BEYOND)],
  ['data_outside', 'data that ends outside', (file) => long(L2, BigInt(file.length))(file)],
  ['compressed_outside', 'compressed data outside', long(L2, IS_COMPRESSED | BEYOND)],
  ['compressed_outside', 'compressed data past 2^53', long(L2, IS_COMPRESSED | (1n << 57n))],
  ['compressed_outside', 'compressed data that ends outside', long(L2, IS_COMPRESSED | (9n << 58n) | BigInt(SPARE))],
  [
    'mapped_twice',
    'every cluster on one',
    (file) => {
      for (let i = 0; i < 512; i += 1) long(L2 + i * 8, BigInt(DATA))(file)
    }
  ],
  ['snapshot_count', '257 snapshots', word(HEADER.snapshotCount, 257)],
  ['snapshot_table', 'a snapshot table outside', snapshot(long(HEADER.snapshots, BEYOND))],
  ['snapshot_table', 'a snapshot table across clusters', snapshot(long(HEADER.snapshots, BigInt(SPARE + 8)))],
  ['snapshot_table', 'snapshots past the end', snapshot((file) => file.writeUInt16BE(0xffff, SPARE + 12))],
  [
    'snapshot_table',
    'a second snapshot past the end',
    (file) => {
      snapshot((all) => all.writeUInt16BE(CLUSTER - 50, SPARE + 12))(file)
      word(HEADER.snapshotCount, 2)(file)
    }
  ],
  ['snapshot_entry', 'an L1 table of a snapshot outside', snapshot(long(SPARE, BEYOND))],
  ['snapshot_entry', 'an L1 table of a snapshot that is too large', snapshot(word(SPARE + 8, 2 ** 32 - 1))],
  ['snapshot_entry', 'extra data of 4 GiB', snapshot(word(SPARE + 36, 2 ** 32 - 1))],
  ['bitmap_directory', 'a directory without bitmaps', bitmaps({ count: 0 })],
  ['bitmap_directory', 'a directory too small for its bitmaps', bitmaps({ count: 2 })],
  ['bitmap_directory', 'a directory of 2^63 bytes', bitmaps({ size: 2n ** 63n })],
  ['bitmap_directory', 'a directory outside', bitmaps({ offset: BEYOND })],
  ['bitmap_directory', 'a directory of no fields', extension(0x23852875, Buffer.alloc(8))],
  ['compressed_data', 'bytes that are no deflate stream', (file) => putCompressed(file, Buffer.alloc(100, 0xff))],
  ['compressed_data', 'more than a cluster', (file) => putCompressed(file, deflateRawSync(Buffer.alloc(2 ** 20)))],
  ['compressed_data', 'less than a cluster', (file) => putCompressed(file, deflateRawSync(Buffer.alloc(CLUSTER - 1)))],
  ['compressed_data', 'a stream that is cut', (file) => file.fill(0, COMPRESSED + 16, COMPRESSED + 512)]
]

const ZSTD_BREAKS: [what: string, packed: Buffer][] = [
  ['no frame', Buffer.alloc(100, 0xff)],
  ['less than a header', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['more than a cluster', zstdCompressSync(Buffer.alloc(2 ** 20))],
  ['less than a cluster', zstdCompressSync(Buffer.alloc(CLUSTER - 1))],
  ['a block beyond the sectors', zstdCompressSync(COMPRESSED_TEXT).fill(0xfc, 7, 10)],
  // Window descriptor 0x88: 2^27 bytes; then an RLE block of one cluster.
  ['a window of 128 MiB', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x03, 0x80, 0x00, 0x41])],
  ['a reserved block', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x10, 0x07, 0x80, 0x00, 0x41])]
]

for (const compression of ['zlib', 'zstd'] as const) {
  describeDisk(`tiny qcow2, ${compression}`, async () => {
    const file = memoryFile(tinyQcow2(compression))
    const reference = Buffer.alloc(4 * 2 ** 20)
    reference.fill('data', 0, 2 * CLUSTER)
    COMPRESSED_TEXT.copy(reference, 3 * CLUSTER)
    return { disk: await openDisk(file, 'qcow2', LIMITS, diskReaders()), file, reference }
  })
}

describe('rules of qcow2', () => {
  it('take an unknown extension that ends with the cluster', async () => {
    const file = tinyQcow2()
    extension(0x12345678, Buffer.alloc(CLUSTER - 120))(file)

    expect(await refusal(file)).toBeUndefined()
  })

  it('are tried on an image that qemu finds sound', async () => {
    await using workshop = await Workshop.open()
    for (const compression of ['zlib', 'zstd'] as const) {
      await workshop.write('tiny.qcow2', tinyQcow2(compression))
      await expect(workshop.qemuImg('compare', '-f', 'qcow2', '-F', 'qcow2', 'tiny.qcow2', 'tiny.qcow2')).resolves.toBe(
        undefined
      )
      // The spare cluster is a leak, exit status 3; corruption would be 2.
      await expect(workshop.qemuImg('check', '-f', 'qcow2', 'tiny.qcow2')).rejects.toMatchObject({ code: 3 })
    }
    expect(await refusal(tinyQcow2())).toBeUndefined()
  })

  it.each(BREAKS)('%s refuses %s', async (rule, _what, how) => {
    const file = tinyQcow2()
    how(file)

    expect(await refusal(file)).toMatchObject({ rule })
  })

  it.each(ZSTD_BREAKS)('compressed_data refuses zstd: %s', async (_what, packed) => {
    const file = tinyQcow2('zstd')
    putCompressed(file, packed)

    expect(await refusal(file)).toMatchObject({ rule: 'compressed_data' })
  })

  it('takes the frame that the broken ones are made from', async () => {
    const file = tinyQcow2('zstd')
    putCompressed(file, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x10, 0x03, 0x80, 0x00, 0x41]))

    expect(await refusal(file)).toBeUndefined()
  })

  it.each([0, 1, 71, 103, 104, 111, 4095, L1, L2 + 8, DATA, SPARE - CLUSTER])(
    'refuses a file cut to %i bytes',
    async (bytes) => {
      expect(await refusal(tinyQcow2().subarray(0, bytes))).toHaveProperty('rule')
    }
  )

  it.each([
    ['data', L2 + 32],
    ['a table', L1 + 8]
  ])('refcount_missing refuses %s in clusters that no block counts', async (_what, entry) => {
    // With counts of 64 bits the only block ends after 512 clusters.
    const file = Buffer.concat([tinyQcow2(), Buffer.alloc(505 * CLUSTER)])
    word(HEADER.refcountOrder, 6)(file)
    expect(await refusal(file)).toBeUndefined()
    long(entry, COPIED | BigInt(513 * CLUSTER))(file)

    expect(await refusal(file)).toMatchObject({ rule: 'refcount_missing' })
  })

  it.each(['zlib', 'zstd'] as const)('stop a %s bomb at the size of a cluster', async (compression) => {
    const file = tinyQcow2(compression)
    const bomb = Buffer.alloc(2 ** 20)
    putCompressed(file, compression === 'zlib' ? deflateRawSync(bomb) : zstdCompressSync(bomb))

    expect(await refusal(file)).toMatchObject({ cause: { code: 'ERR_BUFFER_TOO_LARGE' } })
  })

  it('takes stale reference counts of a file that was not closed', async () => {
    const file = tinyQcow2()
    long(REFCOUNT_TABLE, 0n)(file)
    long(HEADER.incompatible, 1n)(file)

    expect(await refusal(file)).toBeUndefined()
  })

  it('takes sane snapshots and bitmaps, bitmaps marked stale wherever they lie, and unknown autoclear bits', async () => {
    const stale = (file: Buffer) => {
      bitmaps({ offset: BigInt(L2) })(file)
      long(HEADER.autoclear, 0n)(file)
    }
    const changes = [snapshot(() => {}), bitmaps({}), stale, long(HEADER.autoclear, 0xf0n)]

    for (const change of changes) {
      const file = tinyQcow2()
      change(file)
      expect(await refusal(file)).toBeUndefined()
    }
  })

  it('takes a last cluster that is cut off after the end of the disk', async () => {
    const file = tinyQcow2().subarray(0, SPARE + 1024)
    long(HEADER.size, BigInt(4 * CLUSTER + 1024))(file)
    long(L2 + 32, COPIED | BigInt(SPARE))(file)

    expect(await refusal(file)).toBeUndefined()
  })
})
