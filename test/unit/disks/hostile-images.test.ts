import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Disk } from '../../../src/disks/disk.ts'
import { assertBareDisk, openDisk } from '../../../src/disks/inspect.ts'
import { openLocalFile } from '../../../src/disks/local-file.ts'
import { diskReaders } from '../../../src/disks/registry.ts'
import { GiB, MiB } from '../../../src/domain/bytes.ts'
import { ImageUnsafe } from '../../../src/domain/errors.ts'
import { Workshop } from './workshop.ts'

type Row = { name: string; declared: string; verdict: string; stage: string; why: string }

const TABLE = join(import.meta.dirname, '../../fixtures/images/EXPECTED.tsv')
const ROWS: Row[] = readFileSync(TABLE, 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [name = '', declared = '', verdict = '', stage = '', why = ''] = line.split('\t')
    return { name, declared, verdict, stage, why }
  })

const READERS = diskReaders()
/** Formats that Glance knows: their rows are judged once there is a reader of that name. */
const LATER = new Set(['vmdk', 'vhd', 'vhdx', 'vdi', 'iso'].filter((format) => !READERS.has(format)))
const recordedSize = ({ stage }: Row) => Number(/glance_size=(\d+)/.exec(stage)?.[1] ?? 0)
const later = ROWS.filter(({ declared }) => LATER.has(declared))
const ours = ROWS.filter(({ declared }) => !LATER.has(declared))

let workshop: Workshop
beforeAll(async () => {
  workshop = await Workshop.open()
  await workshop.unpackFixtures()
})
afterAll(async () => {
  await workshop[Symbol.asyncDispose]()
})

const LIMITS = { maxVirtualSize: 16 * GiB }

/** Everything an export to a bare disk would do with the image. Gives what it threw. */
async function exportAll({ name, declared }: Row): Promise<unknown> {
  await using file = await openLocalFile(workshop.path(name))
  try {
    const disk = await openDisk(file, declared, LIMITS, READERS)
    await assertBareDisk(disk, declared)
    await readAll(disk)
    return undefined
  } catch (error) {
    return error
  }
}

async function readAll(disk: Disk): Promise<void> {
  const buffer = Buffer.alloc(MiB)
  for await (const { offset, length, data } of disk.extents()) {
    for (let at = offset; data && at < offset + length; at += buffer.length) {
      await disk.read(buffer.subarray(0, Math.min(buffer.length, offset + length - at)), at)
    }
  }
}

describe('images of the collection', () => {
  it.each(ours.filter(({ verdict }) => verdict === 'accept'))('reads $name as $declared', async (row) => {
    expect(await exportAll(row)).toBeUndefined()
  })

  it.each(ours.filter((row) => row.verdict === 'reject' && recordedSize(row) === 0))(
    'refuses $name as $declared: $why',
    async (row) => {
      expect(await exportAll(row)).toBeInstanceOf(ImageUnsafe)
    }
  )

  // A file that was cut after it was stored may be a sound image still. Its record in the library tells.
  it.each(ours.filter((row) => recordedSize(row) > 0))('leaves $name to the record of its size', async (row) => {
    expect((await stat(workshop.path(row.name))).size).not.toBe(recordedSize(row))
  })

  it.each(later)('refuses $name as $declared, a format of a later version', async (row) => {
    expect(await exportAll(row)).toMatchObject({ rule: 'unsupported_format' })
  })

  it('has every row tried', () => {
    console.info(`${ours.length} rows checked; ${later.length} rows refused because their format is not read yet`)
    expect(ours.length + later.length).toBe(ROWS.length)
    expect(ours.length).toBeGreaterThan(100)
  })
})

/** Which rule must catch it: a refusal for another reason would hide that the right check is missing. */
const RULES: Record<string, string> = {
  'qcow2_backing_abs.qcow2': 'backing_file',
  'qcow2_backing_len0.qcow2': 'backing_file',
  'qcow2_backing_v2.qcow2': 'backing_file',
  'qcow2_datafile_abs.qcow2': 'data_file',
  'qcow2_datafile_name_nobit.qcow2': 'data_file',
  'qcow2_size_neg.qcow2': 'virtual_size_limit',
  'qcow2_size_1pib_valid.qcow2': 'virtual_size_limit',
  'qcow2_size_64gib_valid.qcow2': 'virtual_size_limit',
  'qcow2_cluster_bits_8.qcow2': 'cluster_bits',
  'qcow2_cluster_bits_63.qcow2': 'cluster_bits',
  'qcow2_l1_huge.qcow2': 'l1_size',
  'qcow2_l1_too_small.qcow2': 'l1_size',
  'qcow2_reftable_zero.qcow2': 'refcount_table_size',
  'qcow2_reftable_unaligned.qcow2': 'refcount_table',
  // Read as reference counts, the entries of the L1 table point far outside.
  'qcow2_reftable_overlaps_l1.qcow2': 'refcount_block',
  'qcow2_refcount_block_missing.qcow2': 'refcount_missing',
  'qcow2_refcount_order_7.qcow2': 'refcount_order',
  'qcow2_version_4.qcow2': 'version',
  'qcow2_incompat_bit6.qcow2': 'incompatible_features',
  'qcow2_incompat_bit63.qcow2': 'incompatible_features',
  'qcow2_corrupt_bit.qcow2': 'corrupt',
  'qcow2_comptype_nobit.qcow2': 'compression_type',
  'qcow2_hdrlen_huge.qcow2': 'header_length',
  'qcow2_ext_len_past_cluster.qcow2': 'header_extension',
  'qcow2_aes.qcow2': 'encryption',
  'qcow2_snap_count_max.qcow2': 'snapshot_count',
  'qcow2_snap_count_60000.qcow2': 'snapshot_count',
  'qcow2_snap_l1_huge.qcow2': 'snapshot_entry',
  'qcow2_bitmap_dir_huge.qcow2': 'bitmap_directory',
  'qcow2_l2_off_eof.qcow2': 'l2_outside',
  'qcow2_l2_unaligned.qcow2': 'l1_unaligned',
  'qcow2_l2_is_header.qcow2': 'metadata_overlap',
  'qcow2_data_is_header.qcow2': 'data_in_metadata',
  'qcow2_trunc_71.qcow2': 'truncated',
  'qcow2_trunc_103.qcow2': 'truncated',
  'qcow2_trunc_4096.qcow2': 'l1_table',
  'qcow2_trunc_100b.qcow2': 'data_outside',
  'qcow2_nested_qcow2.qcow2': 'nested_format',
  'polyglot_qcow2_mbr.qcow2': 'multiple_formats',
  'polyglot_qcow2_vhdfooter.qcow2': 'multiple_formats',
  'vhd_footer_badsum.vhd': 'footer_checksum',
  'vhd_head_badsum.vhd': 'footer_copy',
  'vhd_fixed_badsum.vhd': 'footer_checksum',
  'vhd_dyn_badsum.vhd': 'dynamic_checksum',
  'vhd_bat_huge.vhd': 'bat_size',
  'vhd_bat_zero.vhd': 'bat_size',
  'vhd_block_odd.vhd': 'block_size',
  'vhd_block_huge.vhd': 'block_size',
  'vhd_type_9.vhd': 'disk_type',
  'vhd_size_0.vhd': 'virtual_size',
  'vhd_fixed_short.vhd': 'data_outside',
  'vhd_trunc_511.vhd': 'truncated',
  'vhd_trunc_1536.vhd': 'footer',
  'vhd_bat_entry_eof.vhd': 'data_outside',
  'vhdx_trunc_4096.vhdx': 'truncated',
  'vhdx_trunc_65536.vhdx': 'truncated',
  'vhdx_trunc_196608.vhdx': 'truncated',
  'vhdx_trunc_200000.vhdx': 'truncated',
  'vhdx_trunc_log.vhdx': 'log',
  'vhdx_trunc_half.vhdx': 'data_outside',
  'vhdx_region_sig.vhdx': 'region_table',
  'vhdx_region_count_max.vhdx': 'region_count',
  'vhdx_region_off_eof.vhdx': 'region_outside',
  'vhdx_region_unknown_required.vhdx': 'region_unknown',
  'vhdx_log_len_huge.vhdx': 'log',
  'vhdx_log_off_eof.vhdx': 'log',
  'vhdx_version_9.vhdx': 'version',
  'vhdx_meta_count_2048.vhdx': 'metadata_count',
  'vhdx_meta_count_max.vhdx': 'metadata_count',
  // Its item for the size has another name now, and is still required.
  'vhdx_meta_no_vds.vhdx': 'metadata_unknown',
  'vhdx_size_huge.vhdx': 'virtual_size_limit',
  'vhdx_size_0.vhdx': 'virtual_size',
  'vhdx_block_0.vhdx': 'block_size',
  'vhdx_block_huge.vhdx': 'block_size',
  'vhdx_sector_0.vhdx': 'sector_size',
  'vhdx_bat_entry_eof.vhdx': 'data_outside',
  'vhdx_bat_entry_meta.vhdx': 'data_in_metadata'
}

describe('rules', () => {
  it.each(Object.entries(RULES))('%s is refused by %s', async (name, rule) => {
    const declared = name.slice(name.lastIndexOf('.') + 1)
    expect(await exportAll({ name, declared, verdict: '', stage: '', why: '' })).toMatchObject({ rule })
  })

  it('refuses a 1 TiB bomb for its shared table too, when the limit would let it pass', async () => {
    await using file = await openLocalFile(workshop.path('qcow2_bomb_1tib.qcow2'))
    const opened = openDisk(file, 'qcow2', { maxVirtualSize: 2 ** 50 }, READERS)

    await expect(opened).rejects.toMatchObject({ rule: 'l2_shared' })
  })
})
