import { KiB, MiB } from '../domain/bytes.ts'
import { FormatOptionsInvalid } from '../domain/errors.ts'
import type { FormatFamily } from './format-family.ts'
import { packedQcow2 } from './packed-qcow2.ts'
import type { Codec } from './packing.ts'
import { qcow2 } from './qcow2.ts'
import { QCOW2_MAX_VIRTUAL_SIZE } from './qcow2-header.ts'

/** A tenth more time than level 1 for 4 % less; level 5 takes a third more for 1.6 % (bench/DEFLATE.md). */
const ZLIB_LEVEL = 4
/** As small as qemu's default within 1 %. */
const ZSTD_LEVEL = 2
/** qemu opens clusters with a window of 4 KiB; some of its versions and other readers may hold to that. */
const QEMU_WINDOW_BITS = 12

export const qcow2Family: FormatFamily = {
  name: 'qcow2',
  options: {
    compression: ['none', 'zlib', 'zstd'],
    level: [1, 19],
    cluster_size: [512, KiB, 2 * KiB, 4 * KiB, 8 * KiB, 16 * KiB, 32 * KiB, 64 * KiB].concat([
      128 * KiB,
      256 * KiB,
      512 * KiB,
      MiB,
      2 * MiB
    ])
  },
  maxVirtualSize: QCOW2_MAX_VIRTUAL_SIZE,
  choose({ compression = 'none', level, cluster_size: clusterBytes = 64 * KiB }) {
    const clusterBits = Math.log2(clusterBytes)
    if (compression !== 'none') return packedQcow2(codecOf(compression, level), clusterBits)
    if (level !== undefined) throw new FormatOptionsInvalid('level', 'it needs compression to be zlib or zstd')
    return qcow2(clusterBits)
  }
}

function codecOf(compression: 'zlib' | 'zstd', level: number | undefined): Codec {
  if (compression === 'zstd') return { name: 'zstd', level: level ?? ZSTD_LEVEL }
  if (level !== undefined && level > 9) throw new FormatOptionsInvalid('level', 'for zlib it must be from 1 to 9')
  return { name: 'deflate', level: level ?? ZLIB_LEVEL, windowBits: QEMU_WINDOW_BITS }
}
