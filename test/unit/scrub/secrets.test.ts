import { describe, expect, it } from 'vitest'
import type { SecretFound } from '../../../src/domain/scrub-report.ts'
import { secretRules } from '../../../src/scrub/secrets/rules.ts'
import { secretsScan } from '../../../src/scrub/secrets/scan.ts'
import { MemoryGuest } from '../../support/memory-guest.ts'

async function scan(files: Record<string, string | Buffer>): Promise<SecretFound[]> {
  const found: SecretFound[] = []
  await secretsScan(found)(new MemoryGuest(files), AbortSignal.timeout(10_000))
  return found
}

const KEY = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----\n'
/** One of each rule: where, and what. */
const PLANTED: Record<string, readonly [path: string, text: string]> = {
  'private-key': ['/root/.ssh/deploy', KEY],
  'wireguard-key': ['/etc/wireguard/wg0.conf', '[Interface]\nPrivateKey = aGVsbG8=\n'],
  'aws-credentials': ['/root/.aws/credentials', '[default]\naws_secret_access_key = x\n'],
  'gcloud-credentials': ['/root/.config/gcloud/application_default_credentials.json', '{}'],
  'azure-credentials': ['/root/.azure/msal_token_cache.json', '{}'],
  'openstack-credentials': ['/root/.config/openstack/clouds.yaml', 'clouds:\n  a:\n    auth:\n      password: x\n'],
  kubeconfig: ['/root/.kube/config', 'users:\n- user:\n    token: abc\n'],
  netrc: ['/root/.netrc', 'machine example.com login me password x\n'],
  'docker-login': ['/root/.docker/config.json', '{"auths":{"r":{"auth":"eHg="}}}'],
  'git-credentials': ['/root/.git-credentials', 'https://me:x@example.com\n'],
  'npm-token': ['/root/.npmrc', '//registry/:_authToken=npm_x\n'],
  'pypi-token': ['/root/.pypirc', '[pypi]\nusername = __token__\npassword = pypi-x\n'],
  'env-file': ['/root/.env', 'DEBUG=1\nAPP_SECRET_KEY=x\n'],
  'database-password': ['/root/.pgpass', 'db:5432:app:me:x\n']
}

describe('the scan for secrets', () => {
  it.each(Object.entries(PLANTED))('finds %s and tells where, not what', async (rule, [path, text]) => {
    expect(await scan({ [path]: text })).toEqual([{ rule, path }])
  })

  it('has a case for every rule', () => {
    expect(Object.keys(PLANTED).sort()).toEqual(secretRules.map(({ id }) => id).sort())
  })

  it('looks into the folder of every user', async () => {
    const passwd = 'app:x:1:1::/var/lib/app:/bin/sh\n'
    const found = await scan({
      '/etc/passwd': passwd,
      '/var/lib/app/.netrc': 'password x',
      '/home/a b/.netrc': 'password x'
    })

    expect(found.map(({ path }) => path).sort()).toEqual(['/home/a b/.netrc', '/var/lib/app/.netrc'])
  })

  it.each([
    ['public keys', { '/root/.ssh/id.pub': 'ssh-ed25519 AAAA', '/root/.ssh/known_hosts': 'host ssh-rsa AAAA' }],
    [
      'settings without a secret',
      { '/root/.docker/config.json': '{"auths":{}}', '/root/.npmrc': 'fund=false', '/root/.env': 'A=1' }
    ],
    ['empty files', { '/root/.azure/msal_token_cache.json': '' }],
    ['links', { '/root/.netrc': '-> /etc/passwd' }],
    [
      'files that are too long for a key',
      { '/root/.ssh/big': Buffer.concat([Buffer.from(KEY), Buffer.alloc(2 ** 19)]) }
    ]
  ])('leaves %s alone', async (_case, files) => {
    expect(await scan(files as Record<string, string>)).toEqual([])
  })

  it('shows names that nobody can print as what can be printed, and not all of a long one', async () => {
    const found = await scan({ '/root/.ssh/a\n\x1b[31m\xc3\xa4': KEY, [`/root/.ssh/${'l'.repeat(300)}`]: KEY })

    expect(found.map(({ path }) => path)).toEqual([
      '/root/.ssh/a\u{fffd}\u{fffd}[31mä',
      `/root/.ssh/${'l'.repeat(300)}`.slice(0, 256)
    ])
  })

  it('ends with a report that can be read, however much there is', async () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`/root/.ssh/key-${i}`, KEY]))

    expect(await scan(many)).toHaveLength(100)
  })

  it('does not take longer for a file that is made to be slow', async () => {
    const slow = `${'PASSWORD'.repeat(10_000)}${' '.repeat(100_000)}`
    expect(
      await scan({ '/root/.env': slow, '/root/.pgpass': slow, '/root/.git-credentials': `://${'a'.repeat(200_000)}` })
    ).toEqual([])
  }, 5_000)
})
