import { streamOptimizedVmdk } from '../../../src/formats/stream-optimized.ts'
import { describePackedFormat } from '../../contracts/packed-format.contract.ts'

describePackedFormat('vmdk streamOptimized', streamOptimizedVmdk(3), { qemuFormat: 'vmdk', checkable: true })
