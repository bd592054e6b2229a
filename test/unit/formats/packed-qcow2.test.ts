import { packedQcow2 } from '../../../src/formats/packed-qcow2.ts'
import { describePackedFormat } from '../../contracts/packed-format.contract.ts'

const qemu = { qemuFormat: 'qcow2', checkable: true }
describePackedFormat('qcow2 zlib', packedQcow2({ name: 'deflate', level: 5, windowBits: 12 }), qemu)
describePackedFormat('qcow2 zstd', packedQcow2({ name: 'zstd', level: 2 }), qemu)
// The smallest clusters make several refcount blocks, L1 clusters and L2 tables out of a small disk.
describePackedFormat(
  'qcow2 zlib with clusters of 4 KiB',
  packedQcow2({ name: 'deflate', level: 1, windowBits: 12 }, 12),
  qemu
)
describePackedFormat('qcow2 zstd with clusters of 2 MiB', packedQcow2({ name: 'zstd', level: 1 }, 21), qemu)
