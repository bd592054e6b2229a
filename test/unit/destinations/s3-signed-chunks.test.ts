import { describe, expect, it } from 'vitest'
import { signChunks } from '../../../src/destinations/s3/signed-chunks.ts'
import { KiB } from '../../../src/domain/bytes.ts'

/** The example of "Signature calculations for the Authorization header: transferring payload in multiple chunks" (AWS). */
const EXAMPLE = {
  url: new URL('https://s3.amazonaws.com/examplebucket/chunkObject.txt'),
  headers: { 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
  length: 65 * KiB
}
const SIGNER = {
  keys: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
  region: 'us-east-1',
  now: new Date('2013-05-24T00:00:00Z'),
  chunkBytes: 64 * KiB
}

/** A source that gives its pieces in one buffer, which is its own again when the next is asked for. */
async function* pieces(bytes: Buffer, sizes: readonly number[]) {
  const lent = Buffer.alloc(Math.max(...sizes))
  let at = 0
  for (const size of sizes) {
    bytes.copy(lent, 0, at, at + size)
    yield lent.subarray(0, size)
    lent.fill(0)
    at += size
  }
}

async function sent(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const frames: Buffer[] = []
  for await (const frame of body) frames.push(Buffer.from(frame))
  return Buffer.concat(frames)
}

describe('signed chunks', () => {
  const letters = Buffer.alloc(65 * KiB, 'a')

  it('are as in the example of AWS', async () => {
    const { headers, length, body } = signChunks({ ...EXAMPLE, body: pieces(letters, [65 * KiB]) }, SIGNER)

    expect(headers.authorization).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
        'SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,' +
        'Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9'
    )
    const bytes = await sent(body)
    expect([length, bytes.length, headers['content-length']]).toEqual([66_824, 66_824, '66824'])
    const [first, ...frames] = bytes.toString('latin1').split(';chunk-signature=')
    expect(first).toBe('10000')
    expect(frames.map((frame) => frame.slice(0, 64))).toEqual([
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9'
    ])
    expect(frames.map((frame) => /\r\n(.*)$/.exec(frame)?.[1])).toEqual(['400', '0', ''])
  })

  it.each([
    [[65 * KiB]],
    [[1, 64 * KiB - 2, 1, 1, 1 * KiB - 1]],
    [Array.from({ length: 65 }, () => KiB)],
    [[30 * KiB, 35 * KiB]]
  ])('are the same however the bytes come', async (sizes) => {
    const bytes = Buffer.from(letters.map((_, index) => index % 251))
    const whole = signChunks({ ...EXAMPLE, body: pieces(bytes, [65 * KiB]) }, SIGNER)
    const inPieces = signChunks({ ...EXAMPLE, body: pieces(bytes, sizes) }, SIGNER)

    expect((await sent(inPieces.body)).equals(await sent(whole.body))).toBe(true)
  })

  it.each([1, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1, 128 * KiB])(
    'of %d bytes are as long as was said before',
    async (length) => {
      const bytes = Buffer.alloc(length, 'b')
      const signed = signChunks({ ...EXAMPLE, length, body: pieces(bytes, [length]) }, SIGNER)

      expect((await sent(signed.body)).length).toBe(signed.length)
    }
  )

  it('name the session of temporary keys, and sign it', async () => {
    const keys = { ...SIGNER.keys, sessionToken: 'a-session' }
    const { headers } = signChunks({ ...EXAMPLE, body: pieces(letters, [65 * KiB]) }, { ...SIGNER, keys })

    expect(headers['x-amz-security-token']).toBe('a-session')
    expect(headers.authorization).toContain(';x-amz-security-token;')
  })
})
