import { statfs } from 'node:fs/promises'
import { type ByteSource, MiB } from '../domain/bytes.ts'
import { StoreFull } from '../domain/image-errors.ts'

const LOOK_EVERY_BYTES = 16 * MiB

/** The source, ended with StoreFull as soon as less than `reserveBytes` are free on the disk of `folder`. */
export async function* leavingRoom(source: ByteSource, folder: string, reserveBytes: number): ByteSource {
  let unlooked = LOOK_EVERY_BYTES
  for await (const chunk of source) {
    unlooked += chunk.length
    if (reserveBytes > 0 && unlooked >= LOOK_EVERY_BYTES) {
      const { bavail, bsize } = await statfs(folder)
      if (bavail * bsize < reserveBytes) throw new StoreFull()
      unlooked = 0
    }
    yield chunk
  }
}
