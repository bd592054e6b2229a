import { link, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import type { Destination, UploadTarget } from '../../../src/destinations/destination.ts'
import { createFileDestination } from '../../../src/destinations/file/file.ts'
import { partName } from '../../../src/destinations/path-names.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { CancelRequested } from '../../../src/export/ports.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { faultServer } from '../../support/fault-server.ts'
import { s3Server } from '../../support/s3-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const hashers = createHashers(1)
afterAll(() => hashers.close())

const KEY = 'AKIATEST'
const UPLOADS_THEN = 2

/** Where the path of every URL is a key of a store of this test. */
function inStore({ destination }: { readonly destination: Destination }, port: number): Destination {
  const endpoint = `http://127.0.0.1:${port}`
  const keys = { kind: 's3_static', access_key_id: KEY, secret_access_key: 'a-secret-key', endpoint }
  const credentials = new Secret(keys)
  return elsewhere(destination, (target) => ({
    ...target,
    credentials,
    url: new URL(`s3://exports${target.url.pathname}`)
  }))
}

function elsewhere(destination: Destination, at: (target: UploadTarget) => UploadTarget): Destination {
  const { tidy, checks, find, read, remove, intend, open, resume, discard } = destination
  return {
    ...destination,
    check() {},
    checks: (target) => checks(at(target)),
    find: (target, signal) => find(at(target), signal),
    read: (target, range, signal) => read(at(target), range, signal),
    remove: (target, signal) => remove(at(target), signal),
    ...(intend && { intend: (target: UploadTarget, signal: AbortSignal) => intend(at(target), signal) }),
    open: (target, signal) => open(at(target), signal),
    resume: async (target, state, sent, signal) => resume?.(at(target), state, sent, signal),
    discard: (target, state, signal) => discard(at(target), state, signal),
    ...(tidy && { tidy: (target: UploadTarget, signal: AbortSignal) => tidy(at(target), signal) })
  }
}

it('an upload that a worker has begun and not written down is removed by the next, under any name, and no other is', async () => {
  await using server = await s3Server({ buckets: ['exports'], keys: { [KEY]: undefined } })
  const workers = workersOf('s3', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
  const destination = inStore(workers, server.port)
  const task = oneTask(destination, engine, { options: { object: { key_template: 'latest.raw' } } })
  const somebodys = await fetch(`http://127.0.0.1:${server.port}/exports/folder/latest.raw?uploads`, {
    method: 'POST',
    headers: { authorization: `Credential=${KEY}/x Signature=${'0'.repeat(64)}` }
  })
  const [theirs = ''] = /(?<=<UploadId>)[^<]+/.exec(await somebodys.text()) ?? []
  const { startTransfer, release } = task.tasks
  const { open } = destination
  let begun = 0
  Object.assign(task.tasks, {
    startTransfer: async () => {
      begun = server.uploads.size
      throw new Error('the worker is dead')
    },
    release: () => Promise.reject(new Error('the worker is dead'))
  })
  Object.assign(destination, {
    open: async (target: UploadTarget, signal: AbortSignal) =>
      Object.assign(await open(target, signal), { abort: async () => [] })
  })
  await task.runOnce()
  expect([begun, server.uploads.size]).toEqual([UPLOADS_THEN, UPLOADS_THEN])

  Object.assign(task.tasks, { startTransfer, release })
  Object.assign(destination, { open })
  await task.runOnce()

  expect(task.row).toMatchObject({ status: 'success', result: { bytes: IMAGE.length } })
  expect([...server.uploads.keys()]).toEqual([theirs])
  expect(server.objects.get('/exports/folder/latest.raw')?.body.equals(IMAGE)).toBe(true)
  workers.closeWorkers()
})

it('an upload whose beginning was answered to nobody is removed by its own attempt, where the task is canceled then', async () => {
  await using server = await s3Server({ buckets: ['exports'], keys: { [KEY]: undefined } })
  const workers = workersOf('s3', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
  const destination = inStore(workers, server.port)
  const task = oneTask(destination, engine)
  const { open } = destination
  let begun = 0
  Object.assign(destination, {
    open: async (target: UploadTarget, signal: AbortSignal) => {
      await open(target, signal)
      begun = server.uploads.size
      throw new CancelRequested({ by: 'user', reason: null, at: new Date() })
    }
  })

  await task.runOnce()

  expect(begun).toBe(1)
  expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'CANCELED_BY_USER' } })
  expect(server.uploads.size).toBe(0)
  workers.closeWorkers()
})

const beginsUpload = ({ method, url }: { method: string; url: string }) => method === 'POST' && url.includes('uploads')

it.each(['dest.write_probe', 'open'])(
  'an upload that is begun while the task is canceled is removed as soon as its answer is there: %s',
  async (how) => {
    await using server = await s3Server({ buckets: ['exports'], keys: { [KEY]: undefined } })
    await using faults = await faultServer(server.port)
    faults.inject({ kind: 'late answer', afterMs: 300 }, beginsUpload)
    const workers = workersOf('s3', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
    const destination = inStore(workers, faults.port)
    const target = uploadTarget('s3://exports/folder/image.raw', 100)
    const cancel = new AbortController()
    const probe = destination.checks(target).find(({ id }) => id === how)
    const begun = probe ? probe.run(cancel.signal) : destination.open(target, cancel.signal)
    const ended = expect(begun).rejects.toThrow('canceled')
    await expect.poll(() => server.uploads.size).toBe(1)

    cancel.abort(new Error('canceled'))
    await ended

    expect(server.uploads.size).toBe(0)
    workers.closeWorkers()
  }
)

it('a write probe that was answered to nobody is removed by its own attempt, where the task is canceled then', async () => {
  await using server = await s3Server({ buckets: ['exports'], keys: { [KEY]: undefined } })
  const workers = workersOf('s3', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [] })
  const destination = inStore(workers, server.port)
  const task = oneTask(destination, engine)
  let begun = 0
  Object.assign(destination, {
    checks: (target: UploadTarget) => [
      {
        id: 'dest.write_probe',
        run: async (signal: AbortSignal) => {
          await destination.open(target, signal)
          begun = server.uploads.size
          throw new CancelRequested({ by: 'user', reason: null, at: new Date() })
        }
      }
    ]
  })

  await task.runOnce()

  expect(begun).toBe(1)
  expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'CANCELED_BY_USER' } })
  expect(server.uploads.size).toBe(0)
  workers.closeWorkers()
})

it('a file whose worker died when it had both names is one file when its task has succeeded', async () => {
  const root = await mkdtemp(join(tmpdir(), 'both-names-'))
  const destination = elsewhere(createFileDestination({ root }), (target) => ({
    ...target,
    url: new URL(`file://${target.url.pathname}`)
  }))
  const task = oneTask(destination, engine)
  const { settleSuccess, release } = task.tasks
  const dead = () => Promise.reject(new Error('the worker is dead'))
  Object.assign(task.tasks, { settleSuccess: dead, release: dead })
  await task.runOnce()
  const [path = ''] = await files(root)
  const exportId = basename(path)
  await link(path, join(dirname(path), partName(basename(path), exportId)))

  Object.assign(task.tasks, { settleSuccess, release })
  await task.runOnce()

  expect(task.row).toMatchObject({ status: 'success', cleanup: { removed: ['partial file'] } })
  expect(await files(root)).toEqual([path])
  await rm(root, { recursive: true })
})

const files = async (root: string) =>
  (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
