import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { createDestinations } from '../../../src/destinations/registry.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

describe('s3 check', () => {
  const destination = createDestinations({
    hashers,
    allowedNetworks: [],
    allowedEndpoints: ['http://127.0.0.1:9000']
  }).forScheme('s3')
  const keys = { kind: 's3_static', access_key_id: 'a', secret_access_key: 'b' }
  const role = { ...keys, kind: 's3_assume_role', role_arn: 'arn:aws:iam::123456789012:role/exporter' }
  const KEY = Buffer.alloc(32).toString('base64')

  it.each<[string, Credentials]>([
    ['s3://exports/p', keys],
    ['s3://exports', { ...keys, region: 'eu-west-1' }],
    ['s3://exports/p', { ...keys, endpoint: 'https://s3.example.org', addressing_style: 'virtual' }],
    ['s3://exports/p', { ...keys, endpoint: 'http://127.0.0.1:9000' }],
    ['s3://Old.Bucket/p', keys],
    ['s3://exports/p', role],
    ['s3://exports/p', { ...role, external_id: 'a/b:c', session_name: 'x@y', sts_endpoint: 'https://sts.example.org' }],
    ['s3://exports/p', { ...keys, region: 'cn-north-1' }],
    ['s3://exports/p', { ...keys, sse: { mode: 'none' } }],
    ['s3://exports/p', { ...keys, sse: { mode: 'kms', kms_key_id: 'arn:aws:kms:eu-west-1:1:key/x' } }],
    ['s3://exports/p', { ...keys, sse: { mode: 'c', customer_key: KEY } }]
  ])('accepts %s with %o', (url, credentials) => {
    expect(() => destination.check(new URL(url), credentials)).not.toThrow()
  })

  it.each<[string, Credentials | undefined, string, string]>([
    ['s3://exports/p', undefined, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind'],
    ['s3://exports/p', { kind: 'basic' }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/kind'],
    [
      's3://exports/p',
      { kind: 's3_static', access_key_id: 'a' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/secret_access_key'
    ],
    [
      's3://exports/p',
      { ...keys, session_token: 'a b' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/session_token'
    ],
    [
      's3://exports/p',
      { ...keys, region: 'x.attacker.example/' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/region'
    ],
    [
      's3://exports/p',
      { ...keys, addressing_style: 'other' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/addressing_style'
    ],
    [
      's3://Exports/p',
      { ...keys, addressing_style: 'virtual' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/addressing_style'
    ],
    ['s3://ab/p', keys, 'DEST_URL_INVALID', '/export_to'],
    ['s3://exports:9000/p', keys, 'DEST_URL_INVALID', '/export_to'],
    [`s3://exports/${'k'.repeat(1025)}`, keys, 'DEST_URL_INVALID', '/export_to'],
    ['s3://exports/p', { ...keys, endpoint: 'ftp://h' }, 'DEST_URL_INVALID', '/export_to_credentials/endpoint'],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://user:pw@h.example' },
      'DEST_URL_INVALID',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://h.example/path' },
      'DEST_URL_INVALID',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://169.254.169.254' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://minio:9000' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'http://s3.example.org' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, endpoint: 'https://s3.example.org:9000' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/endpoint'
    ],
    ['s3://exports/p', { ...role, role_arn: undefined }, 'DEST_CREDENTIALS_INVALID', '/export_to_credentials/role_arn'],
    [
      's3://exports/p',
      { ...role, role_arn: 'exporter' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/role_arn'
    ],
    [
      's3://exports/p',
      { ...role, external_id: 'a b' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/external_id'
    ],
    [
      's3://exports/p',
      { ...role, session_name: 'a/b' },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/session_name'
    ],
    [
      's3://exports/p',
      { ...role, sts_endpoint: 'https://10.0.0.1' },
      'DEST_ADDRESS_FORBIDDEN',
      '/export_to_credentials/sts_endpoint'
    ],
    [
      's3://exports/p',
      { ...role, sts_endpoint: 'https://sts.example.org/x' },
      'DEST_URL_INVALID',
      '/export_to_credentials/sts_endpoint'
    ],
    [
      's3://exports/p',
      { ...keys, sse: { mode: 'other' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/sse/mode'
    ],
    [
      's3://exports/p',
      { ...keys, sse: { mode: 'c' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/sse/customer_key'
    ],
    [
      's3://exports/p',
      { ...keys, sse: { mode: 'c', customer_key: 'c2hvcnQ=' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/sse/customer_key'
    ],
    [
      's3://exports/p',
      { ...keys, sse: { mode: 's3', customer_key: KEY } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/sse/customer_key'
    ],
    [
      's3://exports/p',
      { ...keys, sse: { mode: 's3', kms_key_id: 'k' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/sse/kms_key_id'
    ],
    [
      's3://exports/p',
      { ...keys, sse: { mode: 'kms', kms_key_id: 'a b' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/sse/kms_key_id'
    ],
    [
      's3://exports/p',
      { ...keys, tls: { ca_pem: 'nothing' } },
      'DEST_CREDENTIALS_INVALID',
      '/export_to_credentials/tls/ca_pem'
    ]
  ])('refuses %s with %o', (url, credentials, code, pointer) => {
    expect(() => destination.check(new URL(url), credentials)).toThrow(expect.objectContaining({ code, pointer }))
  })
})
