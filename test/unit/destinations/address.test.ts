import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createAddressPolicy, peerOf } from '../../../src/destinations/address.ts'

const vectors = readFileSync(join(import.meta.dirname, '../../fixtures/ssrf_vectors.tsv'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [kind = '', value = '', verdict = ''] = line.split('\t')
    return { kind, value, verdict }
  })
const addresses = vectors.filter(({ kind }) => kind === 'ip')
const hosts = vectors.filter(({ kind }) => kind === 'host')

const strict = createAddressPolicy({ allowedNetworks: [], allowedEndpoints: [] })
const peer = (url: string, credentials = false) => peerOf(new URL(url), credentials)
const check =
  (policy: typeof strict, url: string, credentials = false) =>
  () =>
    policy.checkHost(new URL(url), { credentials, pointer: '/export_to' })
const forbidden = expect.objectContaining({ code: 'DEST_ADDRESS_FORBIDDEN', pointer: '/export_to' })

describe('addresses', () => {
  it('has vectors to judge', () => {
    expect(addresses.length).toBeGreaterThan(30)
    expect(hosts.length).toBeGreaterThan(10)
  })

  it.each(addresses)('$value: $verdict after the DNS', ({ value, verdict }) => {
    expect(strict.allows(peer('https://example.org'), value)).toBe(verdict === 'allow')
  })

  it.each(addresses)('$value: $verdict in the URL', ({ value, verdict }) => {
    const url = `https://${value.includes(':') ? `[${value}]` : value}/`

    if (verdict === 'allow') expect(check(strict, url)).not.toThrow()
    else expect(check(strict, url)).toThrow(forbidden)
  })

  it.each([
    '5f00::1',
    '::a9fe:a9fe',
    '::ffff:0:a9fe:a9fe',
    '100::1',
    '4000::1',
    '168.63.129.16',
    '100.100.100.200',
    '240.0.0.1',
    ''
  ])('%s is refused', (address) => {
    expect(strict.allows(peer('https://example.org'), address)).toBe(false)
  })
})

describe('hosts', () => {
  it.each(hosts)('$value: $verdict', ({ value, verdict }) => {
    // Once as a host that `new URL` has made canonical, once as one that it left alone.
    const urls = [URL.parse(`https://${value}/`), URL.parse(`swift://${value}/`)].filter((url) => url !== null)

    for (const url of urls) {
      const checked = () => strict.checkHost(url, { credentials: false, pointer: '/export_to' })
      if (verdict === 'deny' && value.length < 64) expect(checked).toThrow(forbidden)
      if (verdict.startsWith('allow')) expect(checked).not.toThrow()
    }
    if (verdict === 'deny-after-resolve') expect(strict.allows(peer(`https://${value}`), '127.0.0.1')).toBe(false)
  })

  it.each(['localhost', 'db', 'a.local', 'a.internal', 'nas.lan', 'x.home.arpa'])(
    '%s is not public, whatever it resolves to',
    (name) => {
      expect(check(strict, `https://${name}/`)).toThrow(forbidden)
      expect(strict.allows(peer(`https://${name}/`), '1.1.1.1')).toBe(false)
    }
  )
})

describe('ports and plain http', () => {
  it.each(['https://example.org:8443/', 'http://1.1.1.1:22/'])('%s is refused', (url) => {
    expect(check(strict, url)).toThrow(forbidden)
    expect(strict.allows(peer(url), '1.1.1.1')).toBe(false)
  })

  it.each(['http://example.org/', 'http://1.1.1.1/', 'http://example.org:443/'])(
    'credentials do not go to %s',
    (url) => {
      expect(check(strict, url, true)).toThrow(forbidden)
      expect(check(strict, url, false)).not.toThrow()
      expect(strict.allows(peer(url, true), '1.1.1.1')).toBe(false)
    }
  )
})

describe('what the operator allows', () => {
  const network = createAddressPolicy({ allowedNetworks: ['10.1.0.0/16', 'fd00::/8'], allowedEndpoints: [] })
  const endpoint = createAddressPolicy({
    allowedNetworks: [],
    allowedEndpoints: ['http://minio:9000', 'https://[fd00::1]', 'https://S3.internal']
  })

  it.each(['http://10.1.2.3:9000/', 'http://[fd00::9]:8080/', 'http://[::ffff:10.1.2.3]/'])(
    'a network covers %s, with credentials',
    (url) => {
      expect(check(network, url, true)).not.toThrow()
    }
  )

  it.each(['http://10.2.0.1/', 'https://127.0.0.1/', 'https://[fe80::1]/', 'https://1.1.1.1:9000/'])(
    'a network does not cover %s',
    (url) => {
      expect(check(network, url)).toThrow(forbidden)
    }
  )

  it('a network leaves names to the connection', () => {
    expect(check(network, 'http://minio:9000/', true)).not.toThrow()
    expect(network.allows(peer('http://minio:9000/', true), '10.1.0.1')).toBe(true)
    expect(network.allows(peer('http://minio:9000/', true), '10.2.0.1')).toBe(false)
    expect(network.allows(peer('http://minio:9000/', true), '1.1.1.1')).toBe(false)
  })

  it.each(['http://minio:9000/', 'https://[fd00::1]/', 'https://s3.internal:443/'])('an endpoint covers %s', (url) => {
    expect(check(endpoint, url, true)).not.toThrow()
    expect(endpoint.allows(peer(url, true), '10.9.9.9')).toBe(true)
  })

  it.each(['http://minio/', 'https://minio:9000/', 'http://minio:9001/', 'https://a.s3.internal/'])(
    'an endpoint does not cover %s',
    (url) => {
      expect(check(endpoint, url)).toThrow(forbidden)
    }
  )

  it.each([
    { allowedNetworks: ['10.0.0.1'], allowedEndpoints: [] },
    { allowedNetworks: ['nonsense'], allowedEndpoints: [] },
    { allowedNetworks: [], allowedEndpoints: ['minio:9000'] },
    { allowedNetworks: [], allowedEndpoints: ['s3://bucket'] },
    { allowedNetworks: [], allowedEndpoints: ['https://h/path'] },
    { allowedNetworks: [], allowedEndpoints: ['sftp://user@h'] },
    { allowedNetworks: [], allowedEndpoints: ['sftp://h/path'] }
  ])('%o cannot be read, and the setting is named', (settings) => {
    expect(() => createAddressPolicy(settings)).toThrow(/ALLOWED_(NETWORKS|ENDPOINTS)/)
  })
})

describe('sftp', () => {
  const listed = createAddressPolicy({
    allowedNetworks: ['10.1.0.0/16'],
    allowedEndpoints: ['sftp://NAS:2222', 'sftp://b']
  })

  it.each(['sftp://example.org/a', 'sftp://1.1.1.1/a', 'sftp://[2606:4700:4700::1111]:22/a'])(
    'may go to %s, with credentials',
    (url) => {
      expect(check(strict, url, true)).not.toThrow()
      expect(strict.allows(peer(url, true), '1.1.1.1')).toBe(true)
      expect(strict.allows(peer(url, true), '127.0.0.1')).toBe(false)
    }
  )

  it.each([
    'sftp://example.org:2222/a',
    'sftp://example.org:443/a',
    'sftp://localhost/a',
    'sftp://127.0.0.1/a',
    'sftp://[::1]/a',
    'sftp://[::ffff:127.0.0.1]/a',
    'sftp://169.254.169.254/a',
    'sftp://nas/a',
    'sftp://2130706433/a',
    'sftp://0x7f.1/a'
  ])('may not go to %s', (url) => {
    expect(check(strict, url, true)).toThrow(forbidden)
    expect(strict.allows(peer(url, true), '127.0.0.1')).toBe(false)
  })

  it('is named with its own port', () => {
    expect(check(strict, 'sftp://example.org:2222/a', true)).toThrow('use 22')
  })

  it.each(addresses)('$value: $verdict after the DNS', ({ value, verdict }) => {
    expect(strict.allows(peer('sftp://example.org', true), value)).toBe(verdict === 'allow')
  })

  it.each(['sftp://nas:2222/a', 'sftp://Nas:2222/a', 'sftp://b/a', 'sftp://b:22/a', 'sftp://10.1.2.3:2022/a'])(
    'may go to %s where the operator allows it',
    (url) => {
      expect(check(listed, url, true)).not.toThrow()
      expect(listed.allows(peer(url, true), '10.1.2.3')).toBe(true)
    }
  )

  it.each(['https://nas:2222/', 'http://nas:2222/', 'https://b:22/'])('that is allowed is no %s', (url) => {
    expect(listed.allows(peer(url), '10.9.9.9')).toBe(false)
  })
})
