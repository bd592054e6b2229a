import { afterAll } from 'vitest'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination } from '../../contracts/destination.contract.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRadosgw } from '../../peers/radosgw.ts'
import { startSwift } from '../../peers/swift.ts'
import { s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

describeWithPeers(['radosgw'], 'Ceph', () => {
  describeDestination('s3', async (limits) => s3Harness((await startRadosgw()).s3, hashers, {}, limits))
})

describeWithPeers(['swift'], 'the S3 API of Swift', () => {
  describeDestination('s3', async (limits) => s3Harness((await startSwift()).s3, hashers, {}, limits))
})
