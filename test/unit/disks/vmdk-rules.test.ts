import { deflateRawSync, deflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { openDisk } from '../../../src/disks/inspect.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { describeDisk } from '../../contracts/disk.contract.ts'
import { memoryFile } from './recorded-file.ts'
import {
  DATA,
  DESCRIPTOR,
  DESCRIPTOR_BYTES,
  DIRECTORY,
  descriptor,
  FROM_END,
  GRAIN,
  HEADER,
  NOISE,
  packedGrain,
  putDescriptor,
  SECTOR,
  SIZE,
  SPARE,
  SPARE_TABLE,
  TABLE,
  TEXT,
  TINY_GRAINS,
  tinyReference,
  tinySparse,
  tinyStream
} from './tiny-vmdk.ts'
import { Workshop } from './workshop.ts'

const LIMITS = { maxVirtualSize: 2 ** 34 }
const AT_END = 2n ** 64n - 1n

const open = (bytes: Buffer) => openDisk(memoryFile(bytes), 'vmdk', LIMITS, diskReaders())

/** What refuses the image when it is opened or read, or undefined. */
async function refusal(bytes: Buffer): Promise<unknown> {
  try {
    const disk = await open(bytes)
    await disk.read(Buffer.alloc(disk.virtualSize), 0)
    return undefined
  } catch (error) {
    return error
  }
}

type Change = (file: Buffer) => unknown
type Break = [rule: string, what: string, how: Change]

const word = (at: number, value: number) => (file: Buffer) => file.writeUInt32LE(value, at < 0 ? file.length + at : at)
const long = (at: number, value: bigint) => (file: Buffer) =>
  file.writeBigUInt64LE(value, at < 0 ? file.length + at : at)
const all =
  (...changes: Change[]) =>
  (file: Buffer) => {
    for (const change of changes) change(file)
  }
/** Changes a piece of the descriptor. */
const text =
  (from: string | RegExp, to: string, createType = 'monolithicSparse') =>
  (file: Buffer) =>
    putDescriptor(file, descriptor(createType).replace(from, to))
const more = (lines: string) => (file: Buffer) => putDescriptor(file, descriptor('monolithicSparse', lines))

const EXTENT = `RW ${SIZE / SECTOR} SPARSE "tiny disk.vmdk"`

const BREAKS: Break[] = [
  ['magic', 'an ESX sparse extent', (file) => file.write('COWD', 0)],
  ['version', 'version 0', word(HEADER.version, 0)],
  ['version', 'version 4', word(HEADER.version, 4)],
  ['flags', 'flag 3', word(HEADER.flags, 0b1111)],
  ['flags', 'flag 31', word(HEADER.flags, 0x80000007)],
  ['flags', 'zeroed grains in version 1', word(HEADER.version, 1)],
  ['newlines', 'a transfer as text', (file) => file.write('\r\n \r', HEADER.newlines)],
  ['compression', 'an unknown algorithm', (file) => file.writeUInt16LE(2, HEADER.algorithm)],
  ['compression', 'an algorithm without its flags', (file) => file.writeUInt16LE(1, HEADER.algorithm)],
  ['compression', 'the flag without an algorithm', word(HEADER.flags, 0x10007)],
  ['compression', 'markers without an algorithm', word(HEADER.flags, 0x20007)],
  ['virtual_size', 'no capacity, where qemu goes by the descriptor', long(HEADER.capacity, 0n)],
  ['virtual_size_limit', 'a capacity of 2^64 - 1', long(HEADER.capacity, AT_END)],
  ['virtual_size_limit', 'a capacity that is 2^64 bytes', long(HEADER.capacity, 2n ** 55n)],
  ['virtual_size_limit', 'one sector too many', long(HEADER.capacity, 2n ** 25n + 1n)],
  ['grain_size', 'grains of 0 sectors', long(HEADER.grain, 0n)],
  ['grain_size', 'grains of 4 sectors', long(HEADER.grain, 4n)],
  ['grain_size', 'grains of 127 sectors', long(HEADER.grain, 127n)],
  ['grain_size', 'grains of 4096 sectors', long(HEADER.grain, 4096n)],
  ['grain_size', 'grains of 2^32 + 128 sectors', long(HEADER.grain, 2n ** 32n + 128n)],
  ['grain_size', 'grains of 2^63 sectors', long(HEADER.grain, 2n ** 63n)],
  ['grain_table_size', 'tables of 0 entries', word(HEADER.tableEntries, 0)],
  ['grain_table_size', 'tables of 256 entries', word(HEADER.tableEntries, 256)],
  ['grain_table_size', 'tables of 2^32 - 1 entries', word(HEADER.tableEntries, 0xffffffff)],
  ['truncated', 'metadata past the end', long(HEADER.overhead, BigInt(tinySparse().length / SECTOR + 1))],
  ['grain_directory', 'a directory at sector 0', long(HEADER.directory, 0n)],
  ['grain_directory', 'a directory past the end', long(HEADER.directory, BigInt(tinySparse().length / SECTOR))],
  ['grain_directory', 'a directory that wraps around', long(HEADER.directory, 2n ** 55n + 26n)],
  ['grain_directory', 'a directory at the end without a footer', long(HEADER.directory, AT_END)],
  ['grain_directory', 'a spare directory past the end', long(HEADER.spareDirectory, 2n ** 40n)],
  [
    'grain_directory',
    'a directory across the end',
    all(long(HEADER.capacity, 2n ** 25n), long(HEADER.directory, BigInt(tinySparse().length / SECTOR - 3)))
  ],
  ['metadata_overlap', 'a directory in the descriptor', long(HEADER.directory, 2n)],
  ['metadata_overlap', 'both directories in one place', long(HEADER.spareDirectory, BigInt(DIRECTORY / SECTOR))],
  ['metadata_overlap', 'a table in the directory', word(DIRECTORY, DIRECTORY / SECTOR)],
  ['metadata_overlap', 'a table for both directories', word(DIRECTORY, SPARE_TABLE / SECTOR)],
  ['metadata_overlap', 'a table that reaches into another', word(DIRECTORY, SPARE_TABLE / SECTOR + 1)],
  ['grain_table_outside', 'a table past the end', word(DIRECTORY, 0xffffffff)],
  ['grain_table_outside', 'a table across the end', word(DIRECTORY, tinySparse().length / SECTOR - 3)],
  ['grain_table_outside', 'a spare table past the end', word(SPARE, 0xffffffff)],
  [
    'grain_table_count',
    'a table for a whole directory',
    all(
      long(HEADER.capacity, 2n ** 23n),
      text(EXTENT, EXTENT.replace(String(SIZE / SECTOR), String(2 ** 23))),
      ...Array.from({ length: 128 }, (_, i) => word(DIRECTORY + 4 * i, TABLE / SECTOR))
    )
  ],
  ['data_outside', 'a grain past the end', word(TABLE, 0xffffffff)],
  ['data_outside', 'a grain across the end', word(TABLE, tinySparse().length / SECTOR - 127)],
  ['data_outside', 'a part of a grain across the end', word(TABLE + 20, tinySparse().length / SECTOR - 2)],
  ['data_in_metadata', 'a grain in the descriptor', word(TABLE, 2)],
  ['data_in_metadata', 'a grain in a table', word(TABLE, TABLE / SECTOR)],
  ['data_in_metadata', 'a grain that reaches into the descriptor', word(TABLE + 20, 20)],
  ['data_in_metadata', 'a zeroed grain without its flag', word(HEADER.flags, 0b011)],
  [
    'mapped_twice',
    'more grains than the file has',
    (file) => {
      for (let grain = 0; grain < 5; grain += 1) word(TABLE + grain * 4, DATA / SECTOR)(file)
    }
  ],
  ['descriptor_place', 'no descriptor', long(HEADER.descriptor, 0n)],
  ['descriptor_place', 'a descriptor further in', long(HEADER.descriptor, 2n)],
  ['descriptor_place', 'a descriptor far outside', long(HEADER.descriptor, 2n ** 63n)],
  ['descriptor_place', 'a descriptor of no sector', long(HEADER.descriptorSize, 0n)],
  ['descriptor_place', 'a descriptor of 257 sectors', long(HEADER.descriptorSize, 257n)],
  ['descriptor_place', 'a descriptor of 2^55 sectors', long(HEADER.descriptorSize, 2n ** 55n)],
  [
    'descriptor_end',
    'a descriptor that fills its sectors',
    (file) => file.fill('#', DESCRIPTOR + 600, DESCRIPTOR + DESCRIPTOR_BYTES)
  ],
  [
    'descriptor_end',
    'a descriptor that goes on after a NUL',
    (file) => file.write('parentFileNameHint="x"', DESCRIPTOR + 5000)
  ],
  [
    'descriptor_end',
    'a descriptor longer than its sectors',
    all(more('#'.repeat(600)), long(HEADER.descriptorSize, 1n))
  ],
  ['descriptor_text', 'bytes above ASCII', more('# caf\xe9')],
  ['descriptor_text', 'a control character', more('# \x1b[2J')],
  ['descriptor_title', 'no title', text('# Disk DescriptorFile\n', '')],
  ['descriptor_title', 'a title in another case', text('DescriptorFile', 'descriptorfile')],
  ['descriptor_field', 'free text as a value', text('version=1', 'version=hello')],
  ['descriptor_field', 'a version of the future', text('version=1', 'version=9')],
  ['descriptor_field', 'a native snapshot', text('"no"', '"yes"')],
  ['descriptor_field', 'an unknown field', more('changeTrackPath="disk-ctk.vmdk"')],
  ['descriptor_extent', 'a field called __proto__', more('__proto__="x"')],
  ['descriptor_field', 'a field called constructor', more('constructor="x"')],
  ['descriptor_field', 'a field in another case', text('createType', 'CREATETYPE')],
  ['descriptor_field', 'a parent CID in another case', text('parentCID', 'PARENTCID')],
  [
    'descriptor_twice',
    'a decoy in another case before',
    text('createType', 'CREATETYPE="monolithicSparse"\ncreateType')
  ],
  ['descriptor_twice', 'a decoy in another case after', more('CREATETYPE="monolithicSparse"')],
  ['descriptor_twice', 'a decoy in a comment', text('version', '# createType="monolithicFlat"\nversion')],
  ['descriptor_twice', 'a decoy in the disk data base', more('ddb.comment = "createType=x"')],
  ['descriptor_twice', 'a decoy of the parent CID', text('version', '# parentCID=12345678\nversion')],
  ['descriptor_twice', 'a field twice', more('CID=12345678')],
  ['descriptor_twice', 'a field of the disk data base twice', more('DDB.adaptertype = "ide"')],
  ['descriptor_type', 'no createType', text(/createType.*\n/, '')],
  ['descriptor_type', 'the other kind', text('monolithicSparse', 'streamOptimized')],
  ...['monolithicFlat', 'twoGbMaxExtentSparse', 'fullDevice', 'vmfs', 'custom', 'MONOLITHICSPARSE'].map(
    (type): Break => ['descriptor_type', type, text('monolithicSparse', type)]
  ),
  ['parent', 'a parent CID', text('ffffffff', '12345678')],
  ['parent', 'the name of a parent', more('parentFileNameHint="/etc/passwd"')],
  ['parent', 'the name of a parent in a comment', more('# parentFileNameHint="/etc/passwd"')],
  ['parent', 'the name of a parent in another case', more('PARENTFILENAMEHINT="/etc/passwd"')],
  ['descriptor_extent', 'no extent', text(EXTENT, '')],
  ['descriptor_extent', 'two extents', text(EXTENT, `${EXTENT}\n${EXTENT}`)],
  ['descriptor_extent', 'an absolute path', text('tiny disk.vmdk', '/etc/passwd')],
  ['descriptor_extent', 'a relative path', text('tiny disk.vmdk', '../other.vmdk')],
  ['descriptor_extent', 'a path of Windows', text('tiny disk.vmdk', 'C:\\disk.vmdk')],
  ['descriptor_extent', 'a protocol', text('tiny disk.vmdk', 'nbd:host')],
  ['descriptor_extent', 'no name', text('"tiny disk.vmdk"', '')],
  ['descriptor_extent', 'an offset', text('disk.vmdk"', 'disk.vmdk" 0')],
  ['descriptor_extent', 'a flat extent', text('SPARSE', 'FLAT')],
  ['descriptor_extent', 'a device', text('SPARSE', 'VMFSRAW')],
  ['descriptor_extent', 'no access', text('RW', 'NOACCESS')],
  ['descriptor_extent', 'another size', text(`RW ${SIZE / SECTOR}`, `RW ${SIZE / SECTOR + 1}`)],
  ['descriptor_extent', 'a size a grain too small', text(`RW ${SIZE / SECTOR}`, `RW ${SIZE / SECTOR - 128}`)],
  ['descriptor_extent', 'free text', more('hello there')]
]

const streamWith = (grain: number, packed: Buffer) =>
  tinyStream(TINY_GRAINS.map((old, i) => (i === grain ? packed : old)))
const changed = (change: Change) => {
  const file = tinyStream()
  change(file)
  return file
}
const CUT = deflateSync(NOISE).subarray(0, -100)

const STREAM_BREAKS: [rule: string, what: string, file: Buffer][] = [
  ['grain_marker', 'the marker of another grain', streamWith(1, packedGrain(0, deflateSync(TEXT)))],
  ['grain_marker', 'no bytes', streamWith(1, packedGrain(1, Buffer.alloc(0)))],
  ['grain_marker', 'bytes past the end', streamWith(1, packedGrain(1, deflateSync(TEXT), 70_000))],
  ['grain_marker', 'more than two grains', streamWith(1, packedGrain(1, Buffer.alloc(3 * GRAIN)))],
  ['grain_marker', '4 GiB', streamWith(1, packedGrain(1, deflateSync(TEXT), 0xffffffff))],
  ['compressed_data', 'bytes that are no zlib stream', streamWith(1, packedGrain(1, deflateRawSync(TEXT)))],
  ['compressed_data', 'a bomb', streamWith(1, packedGrain(1, deflateSync(Buffer.alloc(2 ** 24))))],
  [
    'compressed_data',
    'one byte more than a grain',
    streamWith(1, packedGrain(1, deflateSync(Buffer.alloc(GRAIN + 1))))
  ],
  ['compressed_data', 'less than a grain', streamWith(1, packedGrain(1, deflateSync(TEXT.subarray(1))))],
  [
    'compressed_data',
    'less than the disk has of the last',
    streamWith(5, packedGrain(5, deflateSync(TEXT.subarray(0, 1535))))
  ],
  ['compressed_data', 'a stream that is cut', streamWith(0, packedGrain(0, CUT))],
  [
    'compressed_data',
    'a wrong checksum',
    streamWith(0, packedGrain(0, Buffer.concat([deflateSync(NOISE).subarray(0, -4), Buffer.alloc(4)])))
  ],
  ['descriptor_type', 'the other kind', changed(text('streamOptimized', 'monolithicSparse', 'streamOptimized'))],
  [
    'data_in_metadata',
    'a grain in the footer',
    changed((file) => word(FROM_END.table, file.length / SECTOR - 2)(file))
  ],
  [
    'data_in_metadata',
    'a grain in the directory',
    changed((file) => word(FROM_END.table, file.length / SECTOR - 4)(file))
  ],
  [
    'metadata_overlap',
    'a directory in the end marker',
    changed((file) => long(FROM_END.footer + 56, BigInt(file.length / SECTOR - 1))(file))
  ],
  [
    'grain_directory',
    'a directory past the end',
    changed((file) => long(FROM_END.footer + 56, BigInt(file.length / SECTOR))(file))
  ],
  ['grain_directory', 'a footer that points on', changed(long(FROM_END.footer + 56, AT_END))],
  ['truncated', 'metadata past the end', changed(long(FROM_END.footer + HEADER.overhead, 2n ** 40n))],
  ['footer', 'another capacity', changed(long(FROM_END.footer + HEADER.capacity, 1n))],
  ['footer', 'another version', changed(word(FROM_END.footer + HEADER.version, 1))],
  ['footer', 'other flags', changed(word(FROM_END.footer + HEADER.flags, 0x30003))],
  ['footer', 'another descriptor', changed(long(FROM_END.footer + HEADER.descriptor, 0n))],
  ['footer', 'another grain', changed(long(FROM_END.footer + HEADER.grain, 64n))],
  ['footer', 'other tables', changed(word(FROM_END.footer + HEADER.tableEntries, 256))],
  [
    'footer',
    'another algorithm',
    changed((file) => file.writeUInt16LE(0, file.length + FROM_END.footer + HEADER.algorithm))
  ],
  ['footer', 'no magic', changed(word(FROM_END.footer, 0))],
  ['footer', 'no marker', changed(word(FROM_END.footerMarker + 12, 0))],
  ['footer', 'a marker of a grain', changed(word(FROM_END.footerMarker + 8, 1))],
  ['footer', 'no end of the stream', changed(word(-500, 1))],
  ['footer', 'a sector after the end', Buffer.concat([tinyStream(), Buffer.alloc(SECTOR)])],
  ['footer', 'a header alone', tinyStream().subarray(0, 3 * SECTOR)]
]

describeDisk('tiny vmdk, sparse', async () => {
  const file = memoryFile(tinySparse())
  return { disk: await openDisk(file, 'vmdk', LIMITS, diskReaders()), file, reference: tinyReference() }
})
describeDisk('tiny vmdk, stream with a footer', async () => {
  const file = memoryFile(tinyStream())
  return { disk: await openDisk(file, 'vmdk', LIMITS, diskReaders()), file, reference: tinyReference() }
})

describe('rules of vmdk', () => {
  it('are tried on images that qemu reads alike', async () => {
    await using workshop = await Workshop.open()
    await workshop.write('reference.raw', tinyReference())
    for (const image of [tinySparse(), tinyStream()]) {
      await workshop.write('tiny.vmdk', image)
      await workshop.qemuImg('check', '-q', '-f', 'vmdk', 'tiny.vmdk')
      await workshop.qemuImg('compare', '-q', '-f', 'vmdk', '-F', 'raw', 'tiny.vmdk', 'reference.raw')
      expect(await refusal(image)).toBeUndefined()
    }
  })

  it.each(BREAKS)('%s refuses %s', async (rule, _what, how) => {
    const file = tinySparse()
    how(file)
    // What openDisk would catch before is left to the reader here, for it must stand alone.
    const reader = diskReaders().get('vmdk')
    const refused = reader?.open(memoryFile(file), LIMITS)

    await expect(refused).rejects.toMatchObject({ rule })
  })

  it.each([
    ['7', true],
    ['a5678', true],
    ['7', false]
  ])(
    'take what is left of a longer text, when qemu has written the content id %s over it, and nothing else (%s)',
    async (id, asQemuDoes) => {
      const file = tinySparse()
      const shorter = descriptor('monolithicSparse').replace('CID=123a5678', `CID=${id}`)
      file.write(`${shorter}\0`, DESCRIPTOR)
      expect(file[DESCRIPTOR + shorter.length + 1]).not.toBe(0)
      if (!asQemuDoes) file[DESCRIPTOR + shorter.length + 1] = 0x21

      const found = await refusal(file)

      if (asQemuDoes) expect(found).toBeUndefined()
      else expect(found).toMatchObject({ rule: 'descriptor_end' })
    }
  )

  it.each(STREAM_BREAKS)('%s refuses a stream: %s', async (rule, _what, file) => {
    expect(await refusal(file)).toMatchObject({ rule })
  })

  it.each([
    ['a file of odd length', Buffer.concat([tinySparse(), Buffer.alloc(511)])],
    ['a text descriptor', Buffer.from(descriptor('monolithicSparse'))],
    ['an ESX 5 sparse extent', Buffer.from('\xbe\xba\xfe\xca\0\0\0\0'.padEnd(1024, '\0'), 'latin1')]
  ])('refuse %s', async (_what, file) => {
    expect(await refusal(file)).toMatchObject({ rule: expect.stringMatching(/^(truncated|magic)$/) })
  })

  it.each([0, 1, 511, 512, 513, 1024, DIRECTORY, TABLE, DATA, DATA + 1024, -SECTOR, -1])(
    'refuse a file cut to %i bytes',
    async (bytes) => {
      expect(await refusal(tinySparse().subarray(0, bytes))).toHaveProperty('rule')
      expect(await refusal(tinyStream().subarray(0, bytes))).toHaveProperty('rule')
    }
  )

  it('stop a bomb at the size of a grain', async () => {
    const file = streamWith(1, packedGrain(1, deflateSync(Buffer.alloc(2 ** 24))))

    expect(await refusal(file)).toMatchObject({ cause: { code: 'ERR_BUFFER_TOO_LARGE' } })
  })

  it.each<[what: string, how: Change]>([
    ['no spare directory', all(word(HEADER.flags, 0b101), long(HEADER.spareDirectory, 2n ** 60n))],
    ['line ends of Windows', (file) => putDescriptor(file, descriptor('monolithicSparse').replaceAll('\n', '\r\n'))],
    ['a read-only extent', text('RW', 'RDONLY')],
    ['an extent that is not rounded up to grains', text(`RW ${SIZE / SECTOR}`, `RW ${SIZE / SECTOR - 127}`)],
    [
      'fields of VMware',
      more('encoding="windows-1252"\nddb.longContentID = "0123456789abcdef"\nddb.uuid = "60 00 C2 9a"')
    ],
    ['a file that was not closed', (file) => file.writeUInt8(1, 72)]
  ])('take %s', async (_what, how) => {
    const file = tinySparse()
    how(file)

    expect(await refusal(file)).toBeUndefined()
  })

  it('take a stream whose grains did not shrink', async () => {
    const stored = deflateSync(NOISE, { level: 0 })
    expect(stored.length).toBeGreaterThan(GRAIN)

    expect(await refusal(streamWith(0, packedGrain(0, stored)))).toBeUndefined()
  })
})
