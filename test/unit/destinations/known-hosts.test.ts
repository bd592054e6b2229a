import ssh2 from 'ssh2'
import { describe, expect, it } from 'vitest'
import { kindOf, readKnownHosts } from '../../../src/destinations/sftp/known-hosts.ts'

const newKey = () => ssh2.utils.generateKeyPairSync('ed25519').public.split(' ').slice(0, 2).join(' ')
const bytesOf = (key: string) => Buffer.from(key.split(' ')[1] ?? '', 'base64')
const KEY = newKey()
const SECOND = newKey()

/** Whether a line with these names is about a host. */
const isAbout = (names: string, host: string, port = 22): boolean =>
  readKnownHosts(`${names} ${KEY}`)(host, port).trusted.length === 1

describe('a line of known hosts', () => {
  it.each<[string, string, number]>([
    ['files.example.org', 'files.example.org', 22],
    ['Files.Example.ORG', 'files.example.org', 22],
    ['files.example.org', 'FILES.example.org', 22],
    ['a.example,files.example.org,192.0.2.1', 'files.example.org', 22],
    ['192.0.2.1', '192.0.2.1', 22],
    ['2001:db8::1', '2001:db8::1', 22],
    ['[2001:db8::1]:2222', '2001:db8::1', 2222],
    ['[files.example.org]:2222', 'files.example.org', 2222],
    ['files.example.org', 'files.example.org', 2222], // as ssh does
    ['*.example.org', 'files.example.org', 22],
    ['file?.example.org', 'files.example.org', 22],
    ['[*.example.org]:2222', 'files.example.org', 2222],
    ['*', 'anything', 22]
  ])('%s is about %s at port %d', (names, host, port) => {
    expect(isAbout(names, host, port)).toBe(true)
  })

  it.each<[string, string, number]>([
    ['files.example.org', 'files.example.org.evil.example', 22],
    ['files.example.org', 'filesXexample.org', 22],
    ['files.example.org', 'a.files.example.org', 22],
    ['[files.example.org]:2222', 'files.example.org', 22],
    ['[files.example.org]:2222', 'files.example.org', 2223],
    ['*.example.org', 'example.org', 22],
    ['file?.example.org', 'file.example.org', 22],
    ['*.example.org,!files.example.org', 'files.example.org', 22],
    ['!files.example.org', 'other.example.org', 22]
  ])('%s is not about %s at port %d', (names, host, port) => {
    expect(isAbout(names, host, port)).toBe(false)
  })

  it.each([
    'host',
    'host ssh-ed25519',
    'host ssh-ed25519 AAAA',
    `host ssh-rsa ${KEY.split(' ')[1]}`, // says another kind than it is
    `@unknown host ${KEY}`,
    `host 1024 35 ${'1'.repeat(300)}`, // of SSH 1
    `|1|c2FsdA==|short ${KEY}`,
    `|2|c2FsdA==|${'A'.repeat(27)}= ${KEY}`,
    `host,, ${KEY}`
  ])('that cannot be read is named: %s', (line) => {
    expect(() => readKnownHosts(`# of the operator\n\nother ${KEY}\n${line}\n`)).toThrow('line 4')
  })

  it('may have a comment, spaces and the line ends of Windows', () => {
    const hosts = readKnownHosts(`  host\t${KEY}  root@host, since 2020\r\n   # nothing\r\n\r\n`)

    expect(hosts('host', 22).trusted).toEqual([bytesOf(KEY)])
  })
})

describe('the keys of a host', () => {
  it('are those of all its lines, what is revoked apart from them', () => {
    const hosts = readKnownHosts(
      [`host ${KEY}`, `@revoked host ${SECOND}`, `ho* ${SECOND}`, `@cert-authority other ${KEY}`].join('\n')
    )

    expect(hosts('host', 22)).toEqual({
      trusted: [bytesOf(KEY), bytesOf(SECOND)],
      revoked: [bytesOf(SECOND)],
      hasAuthority: false
    })
    expect(hosts('other', 22)).toEqual({ trusted: [], revoked: [], hasAuthority: true })
  })

  it('are those of the port where there are some; what is revoked is so at every port', () => {
    const hosts = readKnownHosts([`[host]:2222 ${KEY}`, `host ${SECOND}`, `@revoked host ${KEY}`].join('\n'))

    expect(hosts('host', 2222)).toMatchObject({ trusted: [bytesOf(KEY)], revoked: [bytesOf(KEY)] })
    expect(hosts('host', 22).trusted).toEqual([bytesOf(SECOND)])
    expect(hosts('host', 2223).trusted).toEqual([bytesOf(SECOND)])
  })

  it('are found in a file whose names ssh-keygen has hashed', () => {
    const hashed = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSSsa+3gTxYBDcPjoHolvm3g/+PmD9fzC7Fq6WEeOgj'
    const hosts = readKnownHosts(`|1|TI7bkOXw6H1tApx7p4rbaTiw3jI=|owUz9ZPBkSQK6wZZGTBmZtm7iWU= ${hashed}
|1|mTkDVwuiImZMNKkVutyFQIjW+9w=|+86nW/5DEJNm7CsDy/sdkswIcC4= ${hashed}`)

    expect(hosts('files.example.org', 22).trusted).toEqual([bytesOf(hashed)])
    expect(hosts('files.example.org', 2222).trusted).toEqual([bytesOf(hashed)])
    expect(hosts('other.example.org', 22).trusted).toEqual([])
  })
})

describe('the kind of a key', () => {
  it('is what its bytes begin with', () => {
    expect(kindOf(bytesOf(KEY))).toBe('ssh-ed25519')
    for (const bytes of ['', '000000', '00000000', 'ffffffff', '0000000b7373682d65643235353139'])
      expect(kindOf(Buffer.from(bytes, 'hex'))).toBeUndefined()
  })
})
