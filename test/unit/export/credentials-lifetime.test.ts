import { expect, it } from 'vitest'
import { expiryOf } from '../../../src/export/checks/credentials-lifetime.ts'

it.each([
  [
    'an S3 signature',
    { kind: 'presigned', query: 'X-Amz-Date=20261122T060000Z&X-Amz-Expires=3600&X-Amz-Signature=x' },
    '2026-11-22T07:00:00.000Z'
  ],
  [
    'a Google signature',
    { kind: 'presigned', query: 'X-Goog-Date=20261122T060000Z&X-Goog-Expires=60' },
    '2026-11-22T06:01:00.000Z'
  ],
  [
    "Swift's seconds",
    { kind: 'presigned', query: 'temp_url_sig=x&temp_url_expires=1795330800' },
    '2026-11-22T07:00:00.000Z'
  ],
  ["Swift's date", { kind: 'temp_url', query: 'temp_url_expires=2026-11-22T07:00:00Z' }, '2026-11-22T07:00:00.000Z'],
  [
    'an Azure signature',
    { kind: 'presigned', query: 'sv=1&se=2026-11-22T07%3A00%3A00Z&sig=x' },
    '2026-11-22T07:00:00.000Z'
  ],
  [
    'the first of several signed URLs',
    {
      kind: 's3_presigned',
      parts: [
        'https://b.example/k?X-Amz-Date=20261122T060000Z&X-Amz-Expires=7200',
        'https://b.example/k?X-Amz-Date=20261122T060000Z&X-Amz-Expires=3600'
      ]
    },
    '2026-11-22T07:00:00.000Z'
  ],
  [
    'a signature in fields',
    { kind: 'temp_url', temp_url_sig: 'x', temp_url_expires: '1795330800' },
    '2026-11-22T07:00:00.000Z'
  ],
  [
    'a JSON Web Token',
    { kind: 'bearer', token: `e30.${Buffer.from('{"exp":1795330800}').toString('base64url')}.c2ln` },
    '2026-11-22T07:00:00.000Z'
  ],
  ['a session', { kind: 's3_static', expires_at: '2026-11-22T07:00:00Z' }, '2026-11-22T07:00:00.000Z']
])('%s says until when it is good', (_case, credentials, expiry) => {
  expect(expiryOf(credentials)?.toISOString()).toBe(expiry)
})

it.each([
  [undefined],
  [{ kind: 'basic', username: 'u', password: 'X-Amz-Date=x&X-Amz-Expires=y' }],
  [{ kind: 'bearer', token: 'se=2020-01-01' }],
  [{ kind: 'bearer', token: 'e30.bm90IGpzb24.c2ln' }],
  [{ kind: 'presigned', query: 'sig=abc' }]
])('%j says nothing', (credentials) => {
  expect(expiryOf(credentials)).toBeUndefined()
})
