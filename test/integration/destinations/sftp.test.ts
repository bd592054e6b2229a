import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { LookupFunction } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import type { Credentials, UploadTarget } from '../../../src/destinations/destination.ts'
import { createDestinations, type DestinationSettings } from '../../../src/destinations/registry.ts'
import { readKnownHosts } from '../../../src/destinations/sftp/known-hosts.ts'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination, IMPATIENT, PATIENT } from '../../contracts/destination.contract.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startRclone } from '../../peers/rclone.ts'
import { type SftpServer, startSshd } from '../../peers/sshd.ts'
import type { Fault } from '../../support/fault-server.ts'
import { tcpProxy } from '../../support/tcp-proxy.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

type Server = SftpServer & { readonly credentials: Credentials; readonly at: (folder: string) => string }

const openssh = async (): Promise<Server> => {
  const sshd = await startSshd()
  const { username, privateKeyPem, hostKeySha256 } = sshd
  const credentials = { kind: 'ssh_key', username, private_key: privateKeyPem, host_key_sha256: hostKeySha256 }
  return { ...sshd, credentials, at: (folder) => join(sshd.root, folder) }
}
const rclone = async (): Promise<Server> => {
  const { sftp } = await startRclone()
  const { username, password, hostKeySha256 } = sftp
  const credentials = { kind: 'ssh_password', username, password, host_key_sha256: hostKeySha256 }
  return { ...sftp, credentials, at: (folder) => `/${folder}` }
}

type Changes = { credentials?: Partial<Record<string, string>>; settings?: Partial<DestinationSettings>; host?: string }

/** A folder of its own on the server, and the destination with a proxy in between. */
async function start(find: () => Promise<Server>, { credentials, settings, host = '127.0.0.1' }: Changes = {}) {
  const server = await find()
  const proxy = await tcpProxy(server.port)
  const name = randomUUID()
  const folder = join(server.root, name)
  await mkdir(folder)
  await chmod(folder, 0o777)
  const workers = workersOf('sftp', {
    hashers,
    allowedNetworks: ['127.0.0.0/8'],
    allowedEndpoints: [],
    limits: PATIENT,
    ...settings
  })
  const place = `sftp://${host}:${proxy.port}${server.at(name)}`
  return {
    ...workers,
    atomic: true,
    marks: false,
    server,
    proxy,
    place,
    folder,
    target: (length: number, changes: Partial<UploadTarget> = {}, below = '') =>
      uploadTarget(`${place}${below}`, length, { ...server.credentials, ...credentials }, changes),
    read: ({ url }: UploadTarget) =>
      readFile(join(folder, url.pathname.split('/').at(-1) ?? '')).catch(() => undefined),
    kept: async () => (await readdir(folder)).length,
    breakNextPart(fault: Fault) {
      if (fault.kind === 'stall') proxy.inject({ kind: 'stall', afterBytes: 64 * KiB })
      else if (fault.kind === 'reset' || fault.kind === 'hang') proxy.inject(fault)
      else throw new Error(`a connection has no ${fault.kind}`)
    },
    // The answers of a commit: stat, open, fsync, close; stat, rename.
    breakNextCommit(how: 'refused' | 'unheard') {
      proxy.inject({ kind: 'lose answer', number: how === 'refused' ? 3 : 6 })
      if (how === 'unheard') proxy.inject({ kind: 'reset', afterBytes: 1 })
    },
    async [Symbol.asyncDispose]() {
      workers.closeWorkers()
      await proxy[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    }
  }
}

const never = new AbortController().signal
const whole = (length: number) => ({ number: 1, offset: 0, length })
async function* bytes(text: string) {
  yield Buffer.from(text)
}
type Harness = Awaited<ReturnType<typeof start>>

async function sent(harness: Harness, target: UploadTarget, text: string) {
  const upload = await harness.destination.open(target, never)
  await upload.putPart(whole(text.length), bytes(text), never)
  return upload
}

describeWithPeers(['sshd'], 'OpenSSH', () => {
  describeDestination('sftp', (limits) => start(openssh, { settings: { limits } }), { faults: 'connection' })

  describe('publishing', () => {
    it('fails when an object of the name has appeared, which stays as it is', async () => {
      await using harness = await start(openssh)
      const target = harness.target(4)
      const upload = await sent(harness, target, 'mine')
      await (await sent(harness, target, 'them')).commit(never)

      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
      expect(await upload.abort()).toEqual(['partial file'])

      expect((await harness.read(target))?.toString()).toBe('them')
      expect(await harness.kept()).toBe(1)
    })

    it('replaces an object when that is wanted', async () => {
      await using harness = await start(openssh)
      const target = harness.target(4, { object: { replace: true } })
      await (await sent(harness, target, 'them')).commit(never)
      const probe = harness.destination.checks(target).find(({ id }) => id === 'dest.write_probe')

      await expect(probe?.run(never)).resolves.toBeUndefined()
      await (await sent(harness, target, 'mine')).commit(never)

      expect((await harness.read(target))?.toString()).toBe('mine')
      expect(await harness.kept()).toBe(1)
    })

    it.each([
      ['the rename', 6, true],
      ['what comes before', 3, false]
    ])('knows what came of it when the answer to %s is lost', async (_, number, done) => {
      await using harness = await start(openssh)
      const target = harness.target(4)
      const upload = await sent(harness, target, 'mine')
      harness.proxy.inject({ kind: 'lose answer', number })

      const committed = upload.commit(never)

      if (done) await expect(committed).resolves.toEqual({ location: target.url.href })
      else await expect(committed).rejects.toMatchObject({ code: 'DEST_UNREACHABLE', permanent: false })
      await upload.abort()
      expect((await harness.read(target))?.toString()).toBe(done ? 'mine' : undefined)
      expect(await harness.kept()).toBe(done ? 1 : 0)
    })

    it('is not left to a worker whose upload was discarded by the next', async () => {
      await using harness = await start(openssh)
      const target = harness.target(4)
      const lost = await sent(harness, target, 'mine')
      if (lost.state === null) throw new Error('an upload leaves something')

      expect(await harness.destination.discard(target, lost.state, never)).toEqual(['partial file'])

      await expect(lost.commit(never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED', permanent: false })
      await expect(lost.putPart(whole(4), bytes('mine'), never)).rejects.toMatchObject({ code: 'DEST_COMMIT_FAILED' })
      expect(await harness.kept()).toBe(0)
    })

    it('wants the whole file', async () => {
      await using harness = await start(openssh)
      const upload = await harness.destination.open(harness.target(8), never)
      await upload.putPart(whole(4), bytes('half'), never)

      await expect(upload.commit(never)).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
      await upload.abort()
    })
  })

  it('says when an object is shorter than what is read of it', async () => {
    await using harness = await start(openssh)
    const target = harness.target(4)
    await (await sent(harness, target, 'mine')).commit(never)

    const reading = harness.destination.read(target, { from: 0, to: 5 }, never)[Symbol.asyncIterator]()

    await expect(reading.next()).rejects.toMatchObject({ code: 'DEST_INTEGRITY_MISMATCH' })
  })

  it('has a part on its disk before it is confirmed', async () => {
    await using harness = await start(openssh)
    const upload = await harness.destination.open(harness.target(4), never)
    // The answers of a part: open, write, fsync, close.
    harness.proxy.inject({ kind: 'lose answer', number: 4 })

    const sent = upload.putPart(whole(4), bytes('mine'), never)

    await expect(sent).rejects.toMatchObject({ code: 'DEST_UNREACHABLE', permanent: false })
    expect(upload.state).toMatchObject({ partBytes: String(upload.partBytes) })
    await upload.abort()
  })

  describe('a place', () => {
    it('that does not exist is not made', async () => {
      await using harness = await start(openssh)
      const target = harness.target(4, {}, '/not/there')
      const missing = { code: 'DEST_CONTAINER_NOT_FOUND', permanent: true, actor: 'user' }

      await expect(harness.destination.open(target, never)).rejects.toMatchObject(missing)
      const [, container] = harness.destination.checks(target)
      expect(container?.id).toBe('dest.container')
      await expect(container?.run(never)).rejects.toMatchObject(missing)
      expect(await harness.kept()).toBe(0)
    })

    it('that may not be written is said so', async () => {
      await using harness = await start(openssh)
      await chmod(harness.folder, 0o555)

      await expect(harness.destination.open(harness.target(4), never)).rejects.toMatchObject({
        code: 'DEST_FORBIDDEN',
        permanent: true,
        actor: 'user'
      })
    })

    it('may be relative to where sessions start', async () => {
      await using harness = await start(openssh)
      const absolute = harness.target(4)
      const relative = absolute.url.pathname.slice(harness.server.root.length)
      const target = { ...absolute, url: new URL(`sftp://127.0.0.1:${harness.proxy.port}/~${relative}`) }

      const { location } = await (await sent(harness, target, 'mine')).commit(never)

      expect(location).toBe(target.url.href)
      expect((await harness.read(target))?.toString()).toBe('mine')
    })
  })

  describe('logging in', () => {
    const open = async (changes: Changes) => {
      await using harness = await start(openssh, changes)
      const opened = await harness.destination.open(harness.target(4), never).catch((error: Error) => error)
      if (opened instanceof Error) return { error: opened, connections: harness.proxy.connections() }
      await opened.abort()
      return { error: undefined, connections: harness.proxy.connections() }
    }

    it('is not tried at a host with another key', async () => {
      const other = { host_key_sha256: `SHA256:${'A'.repeat(43)}` }

      const { error } = await open({ credentials: other })

      expect(error).toMatchObject({ code: 'DEST_TLS_UNTRUSTED', permanent: true, actor: 'user' })
      expect(error?.message).toMatch(/^127\.0\.0\.1:\d+ has another host key/)
    })

    it('is done without a fingerprint where the operator has the host in a file that ssh-keyscan and ssh-keygen made', async () => {
      await using dir = await keys()
      const server = await openssh()
      const { host_key_sha256: _none, ...credentials } = server.credentials
      const scanned = dir.scan(server.port)
      const knownHosts = readKnownHosts(await dir.hash(scanned))
      const settings = { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits: PATIENT, knownHosts }
      const listed = createDestinations(settings).forScheme('sftp')
      const target = uploadTarget(`sftp://127.0.0.1:${server.port}${server.root}`, 4, credentials)

      const [auth] = listed.checks(target)

      expect(scanned).toContain(`[127.0.0.1]:${server.port} `)
      await expect(auth?.run(never)).resolves.toBeUndefined()
      expect(() => listed.check(new URL('sftp://127.0.0.1:2/a'), credentials)).toThrow('no key of this host')
    })

    it('fails with a key that the server does not know, and tries once', async () => {
      await using dir = await keys()

      const { error, connections } = await open({ credentials: { private_key: await dir.make('other') } })

      expect(error).toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: true, actor: 'user' })
      expect(connections).toBe(1)
    })

    it('opens a key with its passphrase', async () => {
      await using dir = await keys()
      const private_key = await dir.lock((await openssh()).credentials, 'correct horse')

      expect((await open({ credentials: { private_key, passphrase: 'correct horse' } })).error).toBeUndefined()
    })

    it.each([{ passphrase: 'secret but wrong' }, {}])('says that a key cannot be opened with %o', async (more) => {
      await using dir = await keys()
      const private_key = await dir.lock((await openssh()).credentials, 'correct horse')

      const { error } = await open({ credentials: { private_key, ...more } })

      expect(error).toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: true, actor: 'user' })
      expect(error?.message).toMatch(/the private key cannot be read/)
      expect(error?.message).not.toContain('secret')
    })

    it('takes no longer than the limit when the server says nothing', async () => {
      await using harness = await start(openssh, { settings: { limits: { ...IMPATIENT, answerMs: 300 } } })
      harness.breakNextPart({ kind: 'hang' })

      await expect(harness.destination.open(harness.target(4), never)).rejects.toMatchObject({
        code: 'DEST_UNREACHABLE',
        permanent: false
      })
    })

    it('ends when the signal fires', async () => {
      await using harness = await start(openssh)
      harness.breakNextPart({ kind: 'hang' })
      const stop = new AbortController()

      const opened = harness.destination.open(harness.target(4), stop.signal)
      setTimeout(() => stop.abort(new Error('lease lost')), 100)

      await expect(opened).rejects.toThrow('lease lost')
    })
  })

  describe('the address', () => {
    const FORBIDDEN = { code: 'DEST_ADDRESS_FORBIDDEN', permanent: true }
    const strict = { allowedNetworks: [], allowedEndpoints: [] }

    it('is refused when it is not public, beforehand and again at the connection', async () => {
      await using harness = await start(openssh, { settings: strict })
      const target = harness.target(4)

      expect(() => harness.destination.check(target.url, target.credentials?.unwrap())).toThrow(
        expect.objectContaining(FORBIDDEN)
      )
      await expect(harness.destination.open(target, never)).rejects.toMatchObject(FORBIDDEN)
      expect(harness.proxy.connections()).toBe(0)
    })

    it('is refused when the DNS says it is not public, whatever it said before', async () => {
      const lookup = ((_name, _options, callback) =>
        callback(null, [{ address: '127.0.0.1', family: 4 }])) as LookupFunction
      await using harness = await start(openssh, { settings: { ...strict, lookup }, host: 'rebind.example.org' })

      await expect(harness.destination.open(harness.target(4), never)).rejects.toMatchObject(FORBIDDEN)
      expect(harness.proxy.connections()).toBe(0)
    })

    it('may be what the operator listed', async () => {
      await using harness = await start(openssh)
      const allowedEndpoints = [`sftp://127.0.0.1:${harness.proxy.port}`]
      const listed = createDestinations({ hashers, allowedNetworks: [], allowedEndpoints }).forScheme('sftp')

      const upload = await listed.open(harness.target(4), never)

      expect(await upload.abort()).toEqual(['partial file'])
    })
  })

  it('has nothing open any more when the destinations are closed', async () => {
    await using harness = await start(openssh)
    const upload = await harness.destination.open(harness.target(4), never)
    const under = new Promise<void>((_, reject) => {
      upload.putPart(whole(4), waits(), never).catch(reject)
    })

    harness.closeWorkers()

    await expect(under).rejects.toThrow('closed')
  })
})

async function* waits() {
  yield Buffer.from('m')
  await new Promise((resolve) => setTimeout(resolve, 100))
  yield Buffer.from('ine')
}

/** Another implementation of the protocol (Go's), which takes a password. Files are written in order only there. */
describeWithPeers(['rclone'], 'rclone', () => {
  const logIn = async (changes: Changes) => {
    await using harness = await start(rclone, changes)
    const [auth] = harness.destination.checks(harness.target(4))
    expect(auth?.id).toBe('dest.auth')
    return await auth?.run(never).then(
      () => 'logged in',
      (error: unknown) => error
    )
  }

  it('accepts the password', async () => {
    expect(await logIn({})).toBe('logged in')
  })

  it('is said beforehand to take no file that is written in pieces, and no probe is left', async () => {
    await using harness = await start(rclone)
    const probe = harness.destination.checks(harness.target(4)).find(({ id }) => id === 'dest.write_probe')

    const error = await probe?.run(never).catch((thrown: unknown) => thrown)

    expect(error).toMatchObject({ code: 'DEST_REJECTED', permanent: true, actor: 'user' })
    expect(String(error)).toContain('written in several pieces')
    // It goes on with what it was given for a moment after its answer.
    await expect.poll(() => readdir(harness.folder), { timeout: 5_000 }).toEqual([])
  })

  it('does not accept another, which nobody sees', async () => {
    const error = await logIn({ credentials: { password: 'wrong secret' } })

    expect(error).toMatchObject({ code: 'DEST_AUTH_FAILED', permanent: true, actor: 'user' })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('secret')
  })
})

/** A folder for keys of ssh-keygen. */
async function keys() {
  const dir = await mkdtemp(join(tmpdir(), 'sftp-keys-'))
  const keygen = (...args: string[]) => execFileSync('ssh-keygen', ['-q', ...args], { stdio: 'pipe' })
  return {
    make(name: string) {
      keygen('-t', 'ed25519', '-N', '', '-f', join(dir, name))
      return readFile(join(dir, name), 'utf8')
    },
    async lock(credentials: Credentials, passphrase: string) {
      await writeFile(join(dir, 'locked'), String(credentials.private_key), { mode: 0o600 })
      keygen('-p', '-P', '', '-N', passphrase, '-f', join(dir, 'locked'))
      return readFile(join(dir, 'locked'), 'utf8')
    },
    scan: (port: number) =>
      execFileSync('ssh-keyscan', ['-p', String(port), '127.0.0.1'], { encoding: 'utf8', stdio: 'pipe' }),
    async hash(text: string) {
      await writeFile(join(dir, 'known_hosts'), text)
      keygen('-H', '-f', join(dir, 'known_hosts'))
      return readFile(join(dir, 'known_hosts'), 'utf8')
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true })
  }
}

/** A real file system of 2 MiB at `dir`, or why there is none here. */
function mountSmall(dir: string): string | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0777', 'tmpfs', dir], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[1] ?? error.message) : 'mount failed'
  }
}

const probe = await mkdtemp(join(tmpdir(), 'sftp-full-'))
const obstacle = mountSmall(probe)
if (!obstacle) execFileSync('umount', [probe])
await rm(probe, { recursive: true })

describeWithPeers(['sshd'], 'OpenSSH', () => {
  describe.skipIf(obstacle)(
    'a disk that is full',
    { meta: obstacle ? { skipReason: `no right to mount a tmpfs: ${obstacle}` } : {} },
    () => {
      const FULL = { code: 'DEST_QUOTA_EXCEEDED', actor: 'user', permanent: true }
      const onFullDisk = async (work: (harness: Harness) => Promise<void>) => {
        await using harness = await start(openssh)
        mountSmall(harness.folder)
        try {
          await work(harness)
        } finally {
          execFileSync('umount', ['-l', harness.folder])
        }
      }

      it('is noticed before the first byte when the length is known', async () => {
        await onFullDisk(async (harness) => {
          await expect(harness.destination.open(harness.target(3 * MiB), never)).rejects.toMatchObject(FULL)
          expect(await harness.kept()).toBe(0)
        })
      })

      it('ends a part, and leaves nothing after abort', async () => {
        await onFullDisk(async (harness) => {
          const upload = await harness.destination.open(harness.target(4 * MiB, { exact: false }), never)
          const body = async function* () {
            for (let i = 0; i < 4; i += 1) yield Buffer.alloc(MiB, 1)
          }

          await expect(upload.putPart(whole(4 * MiB), body(), never)).rejects.toMatchObject(FULL)
          expect(await upload.abort()).toEqual(['partial file'])
          expect(await harness.kept()).toBe(0)
        })
      })
    }
  )
})
