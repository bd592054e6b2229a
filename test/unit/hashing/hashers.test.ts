import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { contentHashOf } from '../../support/content-hash.ts'

const hashers = createHashers(2)
afterAll(() => hashers.close())

const shared = (text: string) => {
  const bytes = Buffer.from(new SharedArrayBuffer(text.length))
  bytes.write(text)
  return bytes
}

describe('hashers', () => {
  it.each(['md5', 'sha256', 'sha512'] as const)(
    'computes %s of what comes, in its order, from any memory',
    async (algorithm) => {
      const pieces = Array.from({ length: 50 }, (_, i) => (i % 2 ? shared(`piece ${i};`) : Buffer.from(`piece ${i};`)))
      let done = 0
      const hash = hashers.start(algorithm)
      for (const piece of pieces) hash.update(piece, () => done++)
      const digest = await hash.digest()
      expect(digest).toBe(createHash(algorithm).update(Buffer.concat(pieces)).digest('hex'))
      expect(done).toBe(50)
    }
  )

  it('keeps many streams apart', async () => {
    const streams = Array.from({ length: 20 }, (_, i) => ({ text: `stream ${i}`, hash: hashers.start('sha256') }))
    for (const { text, hash } of streams) hash.update(Buffer.from(text), () => {})
    const digests = await Promise.all(streams.map(({ hash }) => hash.digest()))
    expect(digests).toEqual(streams.map(({ text }) => createHash('sha256').update(text).digest('hex')))
  })

  it('does not change a digest when bytes that were copied change later', async () => {
    const bytes = Buffer.from('before')
    const hash = hashers.start('sha256')
    hash.update(bytes, () => {})
    bytes.write('after!')
    expect(await hash.digest()).toBe(createHash('sha256').update('before').digest('hex'))
  })

  it('tells its streams when it is closed, and gives their bytes back', async () => {
    const own = createHashers(1)
    using asked = own.start('sha256')
    using unasked = own.start('sha256')
    let givenBack = 0
    asked.update(Buffer.alloc(1 << 20), () => givenBack++)
    const digest = asked.digest()
    const refused = expect(digest).rejects.toThrow('hashing has ended')
    await own.close()
    await refused
    await expect(unasked.digest()).rejects.toThrow('has ended')
    expect(givenBack).toBe(1)
  })

  it('computes the hash of a content, with the place of every piece', async () => {
    const disk = Buffer.alloc(300_000)
    disk.fill('a', 100_000, 250_000)
    const hash = hashers.startContent(disk.length)
    hash.update(100_000, disk.subarray(100_000, 170_000), () => {})
    hash.update(170_000, shared('a'.repeat(80_000)), () => {})

    expect(await hash.digest()).toBe(contentHashOf(disk))
  })

  it('gives the bytes of a stream that was given up back, and takes no more', async () => {
    const hash = hashers.start('sha256')
    let givenBack = 0
    const first = new Promise<void>((resolve) => hash.update(Buffer.alloc(1 << 20), resolve))
    hash[Symbol.dispose]()
    hash.update(Buffer.from('too late'), () => givenBack++)
    await first

    expect(givenBack).toBe(1)
    await expect(hash.digest()).rejects.toThrow('has ended')
    const other = hashers.start('sha256')
    other.update(Buffer.from('x'), () => {})
    expect(await other.digest()).toBe(createHash('sha256').update('x').digest('hex'))
  })
})
