import { expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { PartSender } from '../../../src/pipeline/part-sender.ts'
import { CountedBuffers } from '../../support/counted-buffers.ts'
import { memoryUpload } from '../../support/memory-upload.ts'
import { sendingTo } from '../../support/sending.ts'

it.each([
  [16 * MiB, 3],
  [129 * MiB, 2]
])('of parts of %i bytes %i are held, with the one that waits for the head', async (partBytes, held) => {
  const buffers = new CountedBuffers()
  const { upload } = memoryUpload(4 * partBytes, {
    partBytes,
    parallel: 4,
    put: async (_part, body) => {
      for await (const _chunk of body);
    }
  })
  using parts = new PartSender(sendingTo(upload), buffers, { digests: false })
  const piece = Buffer.alloc(MiB, 7)

  for (let at = MiB; at < 4 * partBytes; at += MiB) await parts.write(at, piece)
  await parts.write(0, piece)
  await parts.finish(4 * partBytes)

  expect(buffers.mostLent).toBeLessThanOrEqual(held * partBytes)
  expect(buffers.mostLent).toBeGreaterThan((held - 1) * partBytes)
})
