import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { access, chmod, chown, mkdir, mkdtemp, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/embedded/postgres.ts'
import { removeDataDir } from '../../support/remove-data-dir.ts'

const NOBODY = 65534
const isRoot = process.getuid?.() === 0
const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--'] as const
const nobodyReachesNode =
  isRoot && spawnSync('setpriv', [...asNobody, process.execPath, '--check', import.meta.filename]).status === 0
const mayMount =
  spawnSync('unshare', ['--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'none', '/tmp']).status === 0
const service = join(import.meta.dirname, '../../support/postgres-service.ts')

let folder: string
let dataDirs: Set<string>
let running: EmbeddedPostgres[]
let services: { kill(): Promise<void> }[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'glance-export-embedded-'))
  dataDirs = new Set()
  running = []
  services = []
})

afterEach(async () => {
  for (const service of services) await service.kill()
  for (const server of running) await server.stop()
  for (const dataDir of dataDirs) await removeDataDir(dataDir)
  await rm(folder, { recursive: true, force: true })
})

async function start(dataDir: string, onExit = vi.fn()): Promise<EmbeddedPostgres> {
  dataDirs.add(dataDir)
  const server = await startEmbeddedPostgres({ dataDir, log: { info: () => {} }, onExit })
  running.push(server)
  return server
}

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}

/** Runs the service in a process of its own; gives the process and the first line it prints. */
async function startService(
  dataDir: string,
  ...prefix: string[]
): Promise<{ pid: number; line: string; kill(): Promise<void> }> {
  dataDirs.add(dataDir)
  const [command = '', ...rest] = [...prefix, process.execPath, service, dataDir]
  const child = spawn(command, rest, { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const { value: line } = await createInterface(child.stdout)[Symbol.asyncIterator]().next()
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  services.push({ kill })
  return { pid: child.pid ?? 0, line: line ?? '', kill }
}

const postmasterPid = (cluster: string): number =>
  Number.parseInt(readFileSync(join(cluster, 'postmaster.pid'), 'utf8'), 10)

/** A dead process that nobody has asked for yet has no command line. */
const isRunning = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== ''

it('keeps its data from one start to the next', async () => {
  const first = await start(folder)
  await query(first.url, 'create table kept as select 7 as number')
  await first.stop()

  const second = await start(folder)

  expect(await query(second.url, 'select number from kept')).toEqual([{ number: 7 }])
})

it('reaches nobody but this account: no TCP, private folders', async () => {
  const { url } = await start(join(folder, 'data'))

  const [settings] = await query(url, `select current_setting('listen_addresses') as addresses`)

  expect(settings).toEqual({ addresses: '' })
  expect((await stat(join(folder, 'data'))).mode & 0o777).toBe(0o700)
  expect((await stat(join(folder, 'data/postgres'))).mode & 0o777).toBe(0o700)
})

it('leaves no server behind when the service is killed, and starts again', async () => {
  const killed = await startService(folder)
  const pid = postmasterPid(join(folder, 'postgres'))
  await killed.kill()

  const next = await start(folder)

  expect(await query(next.url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(isRunning(pid)).toBe(false)
})

it('refuses a folder whose service is alive, and names it', async () => {
  const other = await startService(folder)

  const second = start(folder)

  await expect(second).rejects.toThrow(`DATA_DIR is in use by process ${other.pid}`)
  expect(await query(other.line, 'select 1 as one')).toEqual([{ one: 1 }])
})

it('is not stopped by files of a crash that name a process which now is another', async () => {
  await (await start(folder)).stop()
  const stranger = spawn('sleep', ['60'])
  await writeFile(join(folder, 'postgres/postmaster.pid'), `${stranger.pid}\n`)
  await writeFile(join(folder, 'postgres/.s.PGSQL.5432.lock'), `${stranger.pid}\n`)

  const server = await start(folder)

  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  stranger.kill()
})

it('makes the cluster again when the first start was cut off', async () => {
  await mkdir(join(folder, 'postgres.new/base'), { recursive: true })

  const server = await start(folder)

  expect(await query(server.url, 'select current_database() as name')).toEqual([{ name: 'glance_export' }])
})

it('works in a folder whose path is too long for a socket, and leaves nothing in /tmp', async () => {
  const dataDir = join(folder, 'long '.repeat(40))
  const before = await readdir('/tmp')
  const server = await start(dataDir)

  const rows = await query(server.url, 'select 1 as one')

  await server.stop()
  const made = (await readdir('/tmp')).filter((name) => /^glance-export-[^-]+$/.test(name) && !before.includes(name))
  expect(rows).toEqual([{ one: 1 }])
  expect(made).toEqual([])
})

it('works below a folder that only we can enter', async () => {
  await mkdir(join(folder, 'private/data'), { recursive: true })
  await chmod(join(folder, 'private'), 0o700)

  const server = await start(join(folder, 'private/data'))

  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

it('tells when the server ends by itself', async () => {
  const onExit = vi.fn()
  await start(folder, onExit)

  process.kill(postmasterPid(join(folder, 'postgres')), 'SIGKILL')

  await vi.waitFor(() => expect(onExit).toHaveBeenCalledOnce())
  expect(onExit.mock.calls[0]?.[0].message).toContain('SIGKILL')
})

it('does not call a stop an end by itself, and may be stopped twice', async () => {
  const onExit = vi.fn()
  const server = await start(folder, onExit)

  await server.stop()
  await server.stop()

  expect(onExit).not.toHaveBeenCalled()
  await expect(access(join(folder, 'postgres/postmaster.pid'))).rejects.toThrow('ENOENT')
})

const conditions: [boolean, string][] = [
  [nobodyReachesNode, 'an account that is not root (needs root, and a clone that others may enter)'],
  [isRoot, 'root without user namespaces (needs root)'],
  [mayMount, 'a full disk (needs the right to mount a tmpfs)']
]
for (const [met, what] of conditions)
  if (!met) process.stdout.write(`skipped: 1 test of the embedded PostgreSQL: ${what}\n`)

it.runIf(nobodyReachesNode)('runs directly for an account that is not root', async () => {
  await chown(folder, NOBODY, NOBODY)

  const other = await startService(folder, 'setpriv', ...asNobody)

  expect(other.line).toMatch(/^postgres:/)
  expect((await stat(join(folder, 'postgres'))).uid).toBe(NOBODY)
})

it.runIf(isRoot)(
  'runs as nobody on copies where a user namespace does not do, and leaves no server behind',
  async () => {
    const hadBinaries = (await readdir('/var/lib/glance-export').catch(() => [])).some((name) =>
      name.startsWith('native')
    )
    const dataDir = join(folder, 'data')
    await mkdir(dataDir, { mode: 0o700 })
    await chown(dataDir, 1000, 1000) // a namespace that knows root only cannot enter
    const first = await startService(dataDir)
    const created = await query(first.line, 'create table kept as select 7 as number')
    const cluster = await readlink(join(dataDir, 'postgres'))
    const pid = postmasterPid(cluster)
    const owner = (await stat(`/proc/${pid}`)).uid
    await first.kill()

    const second = await start(dataDir)

    expect(created).toEqual([])
    expect(owner).toBe(NOBODY)
    expect(await query(second.url, 'select number from kept')).toEqual([{ number: 7 }])
    expect(isRunning(pid)).toBe(false)
    await second.stop()
    await rm(hadBinaries ? dirname(cluster) : '/var/lib/glance-export', { recursive: true })
  }
)

it.runIf(mayMount)('says that the disk is full', async () => {
  const inSmallMount = 'mount -t tmpfs -o size=16m,mode=700 none "$0" && exec "$@"'

  const failed = await startService(folder, 'unshare', '--map-root-user', '--mount', 'sh', '-c', inSmallMount, folder)

  expect(failed.line).toBe(`PostgreSQL ended because the disk of ${folder} is full. Make room, then start again.`)
})

it('lists nothing of our environment in the server', async () => {
  await start(folder)

  const environment = execFileSync('cat', [`/proc/${postmasterPid(join(folder, 'postgres'))}/environ`], {
    encoding: 'utf8'
  })

  expect(
    environment.split('\0').filter((entry) => !/^(PATH|LC_|PWD|OLDPWD|PG|XPG|_|)(=|[A-Z_]*=|$)/.test(entry))
  ).toEqual([])
})
