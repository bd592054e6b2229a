import type { Upload } from '../../destinations/destination.ts'
import type { Disk } from '../../disks/disk.ts'
import { MiB } from '../../domain/bytes.ts'
import { Retries } from '../../pipeline/retries.ts'
import { prepareShipment } from '../../pipeline/shipment.ts'
import type { Transferred } from '../../pipeline/wants.ts'
import type { Attempt } from '../attempt/attempt.ts'
import type { ExportJob } from '../attempt/export-job.ts'
import { type SendUses, wantsOf } from '../attempt/send-file.ts'

const PART_BYTES = 32 * MiB

/** Makes the file and sends it nowhere, to learn of it what sending it would have told. */
export async function makeAgain(
  { engine, retryRules }: Pick<SendUses, 'engine' | 'retryRules'>,
  { signal }: Attempt,
  { claim, format, destination, where }: ExportJob,
  disk: Disk
): Promise<Transferred> {
  const anyOrder = destination.anyOrder(where.credentials?.unwrap())
  const source = { disk, format }
  using file = await prepareShipment(source, anyOrder, engine, wantsOf(claim.task), signal, () => {})
  const upload = nowhere(anyOrder ? PART_BYTES : file.length)
  const retries = new Retries(retryRules, { length: file.length, parts: 1 })
  return { ...(await file.send({ upload, retries, signal }, () => {})), parts: 0 }
}

const nowhere = (partBytes: number): Upload => ({
  partBytes,
  parallel: 2,
  state: null,
  async putPart({ number, length }, body) {
    for await (const _chunk of body);
    return { number, bytes: length }
  },
  commit: () => Promise.reject(new Error('there is nothing to be seen nowhere')),
  abort: async () => []
})
