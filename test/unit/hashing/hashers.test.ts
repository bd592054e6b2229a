import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { createHashers } from '../../../src/hashing/hashers.ts'

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
})
