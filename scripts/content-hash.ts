import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { MiB } from '../src/domain/bytes.ts'
import { CONTENT_HASH, ContentHash } from '../src/hashing/content-hash.ts'

const { positionals, values } = parseArgs({ allowPositionals: true, options: { size: { type: 'string' } } })
const [path] = positionals
if (path === undefined || !/^\d*$/.test(values.size ?? '')) {
  console.error('usage: content-hash.ts [--size bytes of the disk] <raw file>')
  process.exit(2)
}

// A disk that was stored in larger units has zeros behind its end: then the size has to be told.
const size = Number(values.size ?? (await stat(path)).size)
const hash = new ContentHash(size)
let at = 0
for await (const chunk of createReadStream(path, { highWaterMark: MiB })) {
  hash.update(at, chunk)
  at += chunk.length
  const behind = chunk.subarray(Math.max(0, chunk.length - Math.max(0, at - size)))
  if (behind.some((byte: number) => byte !== 0)) {
    console.error(`there is more than zeros behind ${size} bytes`)
    process.exit(1)
  }
}
console.log(`${hash.digest()}  ${CONTENT_HASH}`)
