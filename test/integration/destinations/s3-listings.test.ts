import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { afterAll, expect, it } from 'vitest'
import { listParts, listUploads } from '../../../src/destinations/s3/listings.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRadosgw } from '../../peers/radosgw.ts'
import { startSwift } from '../../peers/swift.ts'
import { s3Harness } from './s3-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())
const never = new AbortController().signal

const STORES = [
  ['radosgw', 'Ceph', async () => (await startRadosgw()).s3],
  ['swift', 'the S3 API of Swift', async () => (await startSwift()).s3]
] as const

for (const [peer, name, s3] of STORES) {
  describeWithPeers([peer], name, () => {
    it('lists parts and uploads to their end when an answer has two of them, and no others', async () => {
      await using harness = await s3Harness(await s3(), hashers)
      const { bucket: Bucket, client } = harness
      client.middlewareStack.add((next) => (args) => next({ ...args, input: { ...args.input, ...PAGE } }), {
        step: 'initialize'
      })
      const begin = async (Key: string) =>
        (await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))).UploadId ?? ''
      const ids = [await begin('a key'), await begin('a key'), await begin('a key')]
      await begin('a key.sha256')
      await begin('a')
      const [first = ''] = ids
      for (const PartNumber of [1, 3, 4, 7, 8])
        await client.send(
          new UploadPartCommand({ Bucket, Key: 'a key', UploadId: first, PartNumber, Body: `part ${PartNumber}` })
        )

      const parts = await listParts(client, { Bucket, Key: 'a key', UploadId: first }, 'host', never)

      expect([...parts.keys()]).toEqual([1, 3, 4, 7, 8])
      expect(parts.get(7)).toEqual({ etag: expect.stringMatching(/^"?[0-9a-f]{32}"?$/), bytes: 6 })
      const uploads = await listUploads(client, { Bucket, Key: 'a key' }, 'host', never)
      expect(uploads.map(({ id }) => id).sort()).toEqual(ids.sort())
      for (const { initiator, begunAt } of uploads) {
        expect(initiator).toMatch(/^test/)
        expect(Math.abs(begunAt.getTime() - Date.now())).toBeLessThan(60_000)
      }
    })
  })
}

const PAGE = { MaxParts: 2, MaxUploads: 2 }
