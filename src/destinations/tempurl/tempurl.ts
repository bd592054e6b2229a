import { randomUUID } from 'node:crypto'
import { MiB } from '../../domain/bytes.ts'
import { credentialsInvalid } from '../credentials.ts'
import type { Destination, Found, UploadTarget } from '../destination.ts'
import { failure } from '../failures.ts'
import { partsWithin, recordedPartBytes } from '../recorded-parts.ts'
import { isVirtual } from './place.ts'
import { Staging, type StagingSettings } from './staging.ts'
import { HERE, TempUrlUpload } from './upload.ts'

const READ_BYTES = 1 * MiB
const PART_BYTES = 16 * MiB

/** Keeps the file here for a download by temporary URL, or only the promise to make it then: see place.ts. */
export function createTempUrlDestination(settings: StagingSettings): Destination {
  const staging = new Staging(settings)

  /** A folder holds files of its task only, so what stands there has that task's marks. */
  const find = async ({ marks }: UploadTarget): Promise<Found> => {
    const length = await staging.length(marks.taskId)
    if (length === undefined) return { status: 'absent' }
    return { status: 'present', length, exportId: marks.exportId, contentId: marks.contentId }
  }

  return {
    schemes: ['tempurl'],
    credentialSchemas: [],
    anonymous: true,
    anyOrder: () => true,
    objectOptions: [],
    namesObject: () => false,
    check(_url, credentials) {
      if (credentials !== undefined) throw credentialsInvalid('kind', 'a temporary URL takes no credentials')
    },
    checks: ({ url, length, exact }) => [
      {
        id: 'dest.limits',
        async run() {
          if (isVirtual(url)) return { stored_bytes: 0 }
          if (exact) await staging.assertRoom(length)
          return { free_bytes: await staging.freeBytes() }
        }
      }
    ],
    find,
    async *read(target, { from, to }, signal) {
      const task = target.marks.taskId
      await using file = await staging.read(task).catch((cause: unknown) => {
        throw failure('notFound', HERE, { cause })
      })
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, to - from))
      for (let at = from; at < to; ) {
        signal.throwIfAborted()
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at)
        if (bytesRead === 0) throw failure('lengthDiffers', HERE)
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    },
    remove: async ({ marks }) => {
      await staging.remove(marks.taskId)
    },
    async open(target, signal) {
      signal.throwIfAborted()
      const { taskId } = target.marks
      if (!isVirtual(target.url) && target.exact) await staging.assertRoom(target.length)
      const part = `${randomUUID()}.part`
      await staging.begin(taskId, part)
      return new TempUrlUpload(staging, target, part, { partBytes: PART_BYTES, kept: [] })
    },
    /** A part is on the disk before it is confirmed (see `writePart`). Of a virtual file nothing is kept, so all of it stands. */
    async resume(target, state, sent, signal) {
      signal.throwIfAborted()
      const partBytes = recordedPartBytes(state)
      const { part } = state
      if (part === undefined || partBytes === undefined) return undefined
      const length = await staging.partLength(target.marks.taskId, part)
      if (length === undefined) return undefined
      const kept = isVirtual(target.url) ? sent : partsWithin(sent, partBytes, length)
      return { upload: new TempUrlUpload(staging, target, part, { partBytes, kept }), kept }
    },
    discard: async ({ marks }) => ((await staging.remove(marks.taskId)) ? ['partial file'] : [])
  }
}
