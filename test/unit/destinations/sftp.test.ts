import { createHash, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import ssh2 from 'ssh2'
import { describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../src/destinations/address.ts'
import type { Credentials } from '../../../src/destinations/destination.ts'
import { loginFailure, requestFailure } from '../../../src/destinations/sftp/failures.ts'
import { readKnownHosts } from '../../../src/destinations/sftp/known-hosts.ts'
import { createSftpDestination } from '../../../src/destinations/sftp/sftp.ts'
import { KiB } from '../../../src/domain/bytes.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const never = new AbortController().signal
const limits = { connectMs: 20_000, idleMs: 20_000, answerMs: 2_000 }
const policy = createAddressPolicy({ allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
const sftp = createSftpDestination({ policy, limits, closing: never })

const makeKey = (kind: 'ed25519' | 'ecdsa' | 'rsa') =>
  ssh2.utils.generateKeyPairSync(kind, kind === 'rsa' ? { bits: 2048 } : kind === 'ecdsa' ? { bits: 256 } : {})
const fingerprint = (publicKey: string) =>
  `SHA256:${createHash('sha256')
    .update(Buffer.from(publicKey.split(' ')[1] ?? '', 'base64'))
    .digest('base64')
    .replace(/=+$/, '')}`
const password = (hostKeySha256: string): Credentials => ({
  kind: 'ssh_password',
  username: 'me',
  password: 'secret',
  host_key_sha256: hostKeySha256
})

type Serve = (session: ssh2.SFTPWrapper) => void

/** An SSH server of the library's own, for what OpenSSH cannot be made to do. It keeps no files. */
async function server(options: { keys?: string[]; login?: (auth: ssh2.AuthContext) => void; serve?: Serve } = {}) {
  const { keys = [makeKey('ed25519').private], login = (auth) => auth.accept(), serve = () => {} } = options
  const ssh = new ssh2.Server({ hostKeys: keys, ident: 'test' }, (client) => {
    client.on('error', () => {})
    client.on('authentication', login)
    client.on('session', (accept) => accept().on('sftp', (acceptSftp) => serve(acceptSftp())))
  })
  ssh.listen(0, '127.0.0.1')
  await once(ssh, 'listening')
  const { port } = ssh.address() as AddressInfo
  return {
    target: (credentials: Credentials, length = 4) => uploadTarget(`sftp://127.0.0.1:${port}/a`, length, credentials),
    [Symbol.asyncDispose]: async () => {
      ssh.close()
    }
  }
}

/** Keeps files by their paths, and has no extension of the protocol: as it is written there, a rename replaces nothing. */
const keeping =
  (files: Map<string, string>): Serve =>
  (session) => {
    const has = (path: string) => files.has(path)
    const answer = (id: number, status: number) => session.status(id, status)
    const stat = (id: number, path: string) => {
      const size = files.get(path)?.length
      if (size === undefined) answer(id, 2)
      else session.attrs(id, { mode: 0o100600, uid: 0, gid: 0, size, atime: 0, mtime: 0 })
    }
    session.on('OPEN', (id, path, flags) => {
      const makes = (flags & ssh2.utils.sftp.OPEN_MODE.CREAT) !== 0
      if (makes === has(path)) return answer(id, makes ? 4 : 2)
      if (makes) files.set(path, '')
      session.handle(id, Buffer.from(path))
    })
    session.on('CLOSE', (id) => answer(id, 0))
    session.on('STAT', stat)
    session.on('WRITE', (id, handle, offset, data) => {
      const before = Buffer.from(files.get(String(handle)) ?? '')
      const after = Buffer.alloc(Math.max(before.length, offset + data.length))
      before.copy(after)
      data.copy(after, offset)
      files.set(String(handle), String(after))
      answer(id, 0)
    })
    session.on('REMOVE', (id, path) => answer(id, files.delete(path) ? 0 : 2))
    session.on('RENAME', (id, from, to) => {
      if (!has(from) || has(to)) return answer(id, has(from) ? 4 : 2)
      files.set(to, files.get(from) ?? '')
      files.delete(from)
      answer(id, 0)
    })
  }

const logIn = (target: ReturnType<typeof uploadTarget>, through = sftp) =>
  through
    .checks(target)
    .find(({ id }) => id === 'dest.auth')
    ?.run(never)

describe('the host key', () => {
  const kinds = ['ed25519', 'ecdsa', 'rsa'] as const
  const keys = kinds.map(makeKey)

  it.each(kinds.map((kind, index) => [kind, index] as const))('may be any of the host: %s', async (_, index) => {
    await using host = await server({ keys: keys.map((key) => key.private) })

    await expect(logIn(host.target(password(fingerprint(keys[index]?.public ?? ''))))).resolves.toBeUndefined()
  })

  it('has to be one of the host, and no password is sent to another', async () => {
    let asked = 0
    await using host = await server({ keys: keys.map((key) => key.private), login: () => (asked += 1) })

    await expect(logIn(host.target(password(`SHA256:${'A'.repeat(43)}`)))).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED',
      permanent: true,
      actor: 'user'
    })
    expect(asked).toBe(0)
  })
})

describe('the host key, where the request names none,', () => {
  const [known, other, replaced] = [makeKey('ed25519'), makeKey('rsa'), makeKey('ecdsa')]
  const { host_key_sha256: _none, ...unpinned } = password('')
  const line = (key: { public: string }, marker = '') => `${marker}127.0.0.1 ${key.public}`
  const withList = (...lines: string[]) =>
    createSftpDestination({ policy, limits, closing: never, knownHosts: readKnownHosts(lines.join('\n')) })
  const check = (destination: typeof sftp, credentials: Credentials) => () =>
    destination.check(new URL('sftp://127.0.0.1:2222/a'), credentials)

  it.each([
    ['the only one', [known], known],
    ['one of several, whichever the host would show first', [known, other], other]
  ])('may be in the list of the operator: %s', async (_, keys, listed) => {
    await using host = await server({ keys: keys.map((key) => key.private) })
    const destination = withList(line(replaced), line(listed))

    expect(check(destination, unpinned)).not.toThrow()
    await expect(logIn(host.target(unpinned), destination)).resolves.toBeUndefined()
  })

  it('has to be in it, and no password is sent to another', async () => {
    let asked = 0
    await using host = await server({ keys: [known.private, other.private], login: () => (asked += 1) })

    await expect(logIn(host.target(unpinned), withList(line(replaced)))).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED',
      permanent: true,
      actor: 'operator',
      message: expect.stringContaining('SFTP_KNOWN_HOSTS')
    })
    expect(asked).toBe(0)
  })

  it.each([
    ['there is none', 'other.example.org', '', 'no key of this host'],
    ['there is one that is revoked', '127.0.0.1', '@revoked ', 'no key of this host'],
    ['there is an authority only', '127.0.0.1', '@cert-authority ', 'only an authority']
  ])('is missing when the request is made: %s', (_, name, marker, why) => {
    const destination = withList(`${marker}${name} ${known.public}`)

    expect(check(destination, unpinned)).toThrow(
      expect.objectContaining({
        code: 'DEST_CREDENTIALS_INVALID',
        pointer: '/export_to_credentials/host_key_sha256',
        message: expect.stringContaining(why)
      })
    )
  })

  it('may be another than the list has where the request names it', async () => {
    await using host = await server({ keys: [known.private] })
    const pinned = password(fingerprint(known.public))

    await expect(logIn(host.target(pinned), withList(line(replaced)))).resolves.toBeUndefined()
  })

  it.each([
    ['names it', password(fingerprint(known.public)), []],
    ['leaves it to the list, which has it twice', unpinned, [line(known)]]
  ])('is never one that the operator has revoked, also when the request %s', async (_, credentials, lines) => {
    let asked = 0
    await using host = await server({ keys: [known.private], login: () => (asked += 1) })
    const destination = withList(line(known, '@revoked '), ...lines)

    await expect(logIn(host.target(credentials), destination)).rejects.toMatchObject({
      code: 'DEST_TLS_UNTRUSTED',
      permanent: true,
      message: expect.stringContaining('revoked')
    })
    expect(asked).toBe(0)
  })
})

describe('logging in', () => {
  const key = makeKey('ed25519')

  it('answers servers that ask for the password as a question', async () => {
    const answers: string[][] = []
    await using host = await server({
      keys: [key.private],
      login(auth) {
        if (auth.method !== 'keyboard-interactive') return auth.reject(['keyboard-interactive'])
        auth.prompt([{ prompt: 'Password:', echo: false }], (given) => {
          answers.push(given)
          auth.accept()
        })
      }
    })

    await logIn(host.target(password(fingerprint(key.public))))

    expect(answers).toEqual([['secret']])
  })

  it('does not show the password to servers that want to echo it', async () => {
    const answers: string[][] = []
    await using host = await server({
      keys: [key.private],
      login(auth) {
        if (auth.method !== 'keyboard-interactive') return auth.reject(['keyboard-interactive'])
        auth.prompt([{ prompt: 'Your name?', echo: true }], (given) => {
          answers.push(given)
          auth.reject()
        })
      }
    })

    await expect(logIn(host.target(password(fingerprint(key.public))))).rejects.toMatchObject({
      code: 'DEST_AUTH_FAILED'
    })
    expect(answers).toEqual([['']])
  })

  it.each<[string, (socket: Socket) => void, string]>([
    ['closes at once', (socket) => socket.end(), 'DEST_UNREACHABLE'],
    ['resets', (socket) => socket.resetAndDestroy(), 'DEST_UNREACHABLE'],
    ['says nothing', () => {}, 'DEST_UNREACHABLE'],
    ['sends what is no SSH', (socket) => socket.write('x'.repeat(100_000)), 'DEST_REJECTED'],
    ['speaks SSH 1', (socket) => socket.write('SSH-1.5-old\r\n'), 'DEST_REJECTED'],
    ['sends broken packets', (socket) => socket.write(`SSH-2.0-x\r\n${'\x07'.repeat(1000)}`), 'DEST_REJECTED']
  ])('to what %s fails and frees the connection', async (_, answer, code) => {
    const open = new Set<Socket>()
    const other = createServer((socket) => {
      open.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => open.delete(socket))
        .resume()
      answer(socket)
    }).listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const target = uploadTarget(`sftp://127.0.0.1:${port}/a`, 4, password(`SHA256:${'A'.repeat(43)}`))

    const error = await logIn(target)?.catch((thrown: unknown) => thrown)

    expect(error).toMatchObject({ code })
    expect(String(error)).not.toContain('secret')
    while (open.size > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    other.close()
  })
})

describe('a request', () => {
  it.each<[number, string, 'permanent' | 'passing', string]>([
    [1, 'DEST_INTEGRITY_MISMATCH', 'passing', 'destination'],
    [2, 'DEST_CONTAINER_NOT_FOUND', 'permanent', 'user'],
    [3, 'DEST_FORBIDDEN', 'permanent', 'user'],
    [4, 'DEST_REJECTED', 'passing', 'destination'],
    [5, 'DEST_LIMIT_EXCEEDED', 'permanent', 'user'],
    [6, 'DEST_UNREACHABLE', 'passing', 'destination'],
    [7, 'DEST_UNREACHABLE', 'passing', 'destination'],
    [8, 'DEST_REJECTED', 'permanent', 'user'],
    [10, 'DEST_CONTAINER_NOT_FOUND', 'permanent', 'user'],
    [11, 'DEST_OBJECT_EXISTS', 'permanent', 'user'],
    [12, 'DEST_FORBIDDEN', 'permanent', 'user'],
    [13, 'DEST_REJECTED', 'passing', 'destination'],
    [14, 'DEST_QUOTA_EXCEEDED', 'permanent', 'user'],
    [15, 'DEST_QUOTA_EXCEEDED', 'permanent', 'user'],
    [17, 'DEST_REJECTED', 'permanent', 'user'],
    [19, 'DEST_CONTAINER_NOT_FOUND', 'permanent', 'user'],
    [99, 'DEST_REJECTED', 'passing', 'destination']
  ])('with the status %d is %s, %s, and the turn of the %s', (status, code, lasts, actor) => {
    const cause = Object.assign(new Error('hostile words'), { code: status })

    const error = requestFailure('host.example:22', cause)

    expect(error).toMatchObject({ code, permanent: lasts === 'permanent', actor, cause })
    expect(error.message).toMatch(/^host\.example:22 .*\.$/)
    expect(error.message).not.toContain('hostile')
  })

  it('that is not answered is the connection’s fault', () => {
    expect(requestFailure('h', new Error('No response from server'))).toMatchObject({ code: 'DEST_UNREACHABLE' })
  })
})

describe('a login', () => {
  it.each<[object, string, boolean]>([
    [{ level: 'handshake' }, 'DEST_REJECTED', true],
    [{ level: 'protocol' }, 'DEST_UNREACHABLE', false],
    [{ level: 'client-authentication' }, 'DEST_AUTH_FAILED', true],
    [{ level: 'client-timeout' }, 'DEST_UNREACHABLE', false],
    [{ level: 'client-socket', code: 'ECONNRESET' }, 'DEST_UNREACHABLE', false],
    [{ code: 14 }, 'DEST_AUTH_FAILED', true],
    [{ code: 2 }, 'DEST_UNREACHABLE', false],
    [{}, 'DEST_REJECTED', true]
  ])('that ends with %o is %s', (facts, code, permanent) => {
    expect(loginFailure('h', Object.assign(new Error('words'), facts))).toMatchObject({ code, permanent })
  })
})

describe('a server', () => {
  const key = makeKey('ed25519')
  const handle = Buffer.from('h')
  /** Takes everything and counts it. */
  const taking =
    (writes: { offset: number; data: Buffer }[]): Serve =>
    (session) => {
      session.on('OPEN', (id) => session.handle(id, handle))
      session.on('CLOSE', (id) => session.status(id, 0))
      session.on('REMOVE', (id) => session.status(id, 0))
      session.on('WRITE', (id, _handle, offset, data) => {
        writes.push({ offset, data: Buffer.from(data) })
        session.status(id, 0)
      })
    }

  it('that takes small packets only gets every byte at its place', async () => {
    const writes: { offset: number; data: Buffer }[] = []
    await using host = await server({ keys: [key.private], serve: taking(writes) })
    const length = 700 * KiB
    const expected = Buffer.from(Array.from({ length }, (_, index) => index % 251))
    const upload = await sftp.open(host.target(password(fingerprint(key.public)), length), never)
    const body = async function* () {
      const chunk = Buffer.alloc(200 * KiB)
      for (let at = 0; at < length; at += chunk.length) {
        const bytes = chunk.subarray(0, Math.min(chunk.length, length - at))
        expected.copy(bytes, 0, at)
        yield bytes
        chunk.fill(0xee) // borrowed: it is used again
      }
    }

    await upload.putPart({ number: 1, offset: 0, length }, body(), never)

    const got = Buffer.alloc(length)
    for (const { offset, data } of writes) data.copy(got, offset)
    expect(got.equals(expected)).toBe(true)
    expect(Math.max(...writes.map(({ data }) => data.length))).toBeLessThanOrEqual(32 * KiB)
    await upload.abort()
  })

  it('that does not say when its disk has a part cannot be gone on with: the file may have its length and holes', async () => {
    await using host = await server({ keys: [key.private], serve: taking([]) })
    const target = host.target(password(fingerprint(key.public)))
    const upload = await sftp.open(target, never)

    const sent = await upload.putPart({ number: 1, offset: 0, length: 4 }, bytes('mine'), never)

    expect(sent).toEqual({ number: 1, bytes: 4 })
    expect(upload.state).toEqual({ part: expect.any(String) })
    expect(await sftp.resume?.(target, upload.state ?? {}, [sent], never)).toBeUndefined()
    await upload.abort()
  })

  it.each([
    ['is not there', 2],
    ['may not be listed', 3],
    ['cannot be listed', 4],
    ['is empty', 1]
  ])('whose folder %s has the recorded file removed', async (_, status) => {
    const removed: string[] = []
    const serve: Serve = (session) => {
      taking([])(session)
      session.on('OPENDIR', (id) => (status === 1 ? session.handle(id, handle) : session.status(id, status)))
      session.on('READDIR', (id) => session.status(id, status))
      session.removeAllListeners('REMOVE').on('REMOVE', (id, path) => {
        removed.push(path)
        session.status(id, 0)
      })
    }
    await using host = await server({ keys: [key.private], serve })
    const target = host.target(password(fingerprint(key.public)))

    expect(await sftp.discard(target, { part: '.x' }, never)).toEqual(['partial file'])
    expect(removed).toEqual(['/a/.x'])
  })

  it('that refuses a write ends the part with its reason', async () => {
    const serve: Serve = (session) => {
      taking([])(session)
      session.removeAllListeners('WRITE').on('WRITE', (id) => session.status(id, 3))
    }
    await using host = await server({ keys: [key.private], serve })
    const upload = await sftp.open(host.target(password(fingerprint(key.public))), never)

    const sent = upload.putPart({ number: 1, offset: 0, length: 4 }, bytes('mine'), never)

    await expect(sent).rejects.toMatchObject({ code: 'DEST_FORBIDDEN' })
    await upload.abort()
  })

  it('that ends the session in the middle breaks the part off at once', async () => {
    const serve: Serve = (session) => {
      taking([])(session)
      session.removeAllListeners('WRITE').on('WRITE', () => session.end())
    }
    await using host = await server({ keys: [key.private], serve })
    const upload = await sftp.open(host.target(password(fingerprint(key.public))), never)

    const sent = upload.putPart({ number: 1, offset: 0, length: 4 }, bytes('mine'), never)

    await expect(sent).rejects.toMatchObject({ code: 'DEST_UNREACHABLE', permanent: false })
    await upload.abort()
  })
})

describe('a server that has no word for replacing a file', () => {
  const key = makeKey('ed25519')
  const start = async (files: Map<string, string>, change?: Serve) => {
    const serve: Serve = (session) => {
      keeping(files)(session)
      change?.(session)
    }
    const host = await server({ keys: [key.private], serve })
    const target = host.target(password(fingerprint(key.public)))
    return {
      target: (replace: boolean) => ({ ...target, object: { replace } }),
      path: target.url.pathname,
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]()
    }
  }
  const sent = async (target: ReturnType<typeof uploadTarget>) => {
    const upload = await sftp.open(target, never)
    await upload.putPart({ number: 1, offset: 0, length: 4 }, bytes('mine'), never)
    return upload
  }
  const probe = (target: ReturnType<typeof uploadTarget>) =>
    sftp
      .checks(target)
      .find(({ id }) => id === 'dest.write_probe')
      ?.run(never)
  const TAKEN = {
    code: 'DEST_OBJECT_EXISTS',
    permanent: true,
    actor: 'user',
    message: expect.stringContaining('cannot put another in its place')
  }

  it.each([false, true])('takes an object where nothing stands, also with replace: %s', async (replace) => {
    const files = new Map<string, string>()
    await using host = await start(files)
    const target = host.target(replace)

    await expect(probe(target)).resolves.toBeUndefined()
    expect([...files]).toEqual([])
    await (await sent(target)).commit(never)

    expect([...files]).toEqual([[host.path, 'mine']])
  })

  it('is said beforehand not to replace what stands there, and no probe is left', async () => {
    const files = new Map<string, string>()
    await using host = await start(files)
    files.set(host.path, 'them')

    await expect(probe(host.target(true))).rejects.toMatchObject(TAKEN)

    expect([...files]).toEqual([[host.path, 'them']])
  })

  it.each(['STAT', 'RENAME'] as const)('does not replace what appeared before its %s', async (request) => {
    const files = new Map<string, string>()
    let appears = () => {}
    await using host = await start(files, (session) => session.prependListener(request, () => appears()))
    const upload = await sent(host.target(true))
    appears = () => files.set(host.path, 'them')

    await expect(upload.commit(never)).rejects.toMatchObject(TAKEN)
    await upload.abort()

    expect([...files]).toEqual([[host.path, 'them']])
  })

  it.each([
    ['forbids', 3, 'DEST_FORBIDDEN', 'rename a file'],
    ['does not know', 8, 'DEST_REJECTED', 'does not offer what an export needs']
  ])('is said beforehand when it %s the rename itself, and no probe is left', async (_, status, code, says) => {
    const files = new Map<string, string>()
    const refuses: Serve = (session) =>
      session.removeAllListeners('RENAME').on('RENAME', (id) => session.status(id, status))
    await using host = await start(files, refuses)

    const error = await probe(host.target(false))?.catch((thrown: unknown) => thrown)

    expect(error).toMatchObject({ code, permanent: true, actor: 'user', message: expect.stringContaining(says) })
    expect([...files]).toEqual([])
  })
})

async function* bytes(text: string) {
  yield Buffer.from(text)
}

describe('credentials', () => {
  const fine = `SHA256:${'A'.repeat(43)}`
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' }
  })
  const slow = ssh2.utils.generateKeyPairSync('ed25519', { passphrase: 'p', cipher: 'aes256-ctr', rounds: 33 }).private
  const quick = ssh2.utils.generateKeyPairSync('ed25519', { passphrase: 'p', cipher: 'aes256-ctr', rounds: 16 }).private
  const url = new URL('sftp://127.0.0.1/a/b')
  const keyed = (private_key: unknown, more = {}): Credentials => ({
    kind: 'ssh_key',
    username: 'me',
    private_key,
    host_key_sha256: fine,
    ...more
  })

  it.each([password(fine), keyed(privateKey), keyed(quick, { passphrase: 'p' })])('are taken', (credentials) => {
    expect(() => sftp.check(url, credentials)).not.toThrow()
  })

  it.each<[Credentials | undefined, string]>([
    [undefined, 'kind'],
    [{ kind: 'basic' }, 'kind'],
    [password('SHA256:short'), 'host_key_sha256'],
    [password(`MD5:${'a'.repeat(43)}`), 'host_key_sha256'],
    [{ ...password(fine), host_key_sha256: undefined }, 'host_key_sha256'], // and no list of the operator's
    [{ ...password(fine), username: '' }, 'username'],
    [{ ...password(fine), password: undefined }, 'password'],
    [keyed(undefined), 'private_key'],
    [keyed(slow, { passphrase: 'p' }), 'private_key'],
    [keyed(slow.replace(/\n[\s\S]*\n-----END/, `\n${slow.split('\n')[1]?.slice(0, 40)}\n-----END`)), 'private_key']
  ])('%# are refused at the field %s', (credentials, field) => {
    expect(() => sftp.check(url, credentials)).toThrow(
      expect.objectContaining({ code: 'DEST_CREDENTIALS_INVALID', pointer: `/export_to_credentials/${field}` })
    )
  })
})
