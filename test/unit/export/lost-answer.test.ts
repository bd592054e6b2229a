import { once } from 'node:events'
import { afterAll, expect, it } from 'vitest'
import type { Destination, UploadTarget } from '../../../src/destinations/destination.ts'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { PATIENT } from '../../contracts/destination.contract.ts'
import { putServer } from '../../support/put-server.ts'
import { workersOf } from '../../support/workers.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const hashers = createHashers(1)
afterAll(() => hashers.close())

const PATH = '/folder/disk.raw'

/** The destination for the path of every URL on a server of this test. */
function onServer({ destination }: { readonly destination: Destination }, port: number): Destination {
  const at = (target: UploadTarget) => ({ ...target, url: new URL(`http://127.0.0.1:${port}${target.url.pathname}`) })
  const { find, read, remove, open, discard } = destination
  return {
    ...destination,
    check() {},
    checks: (target) => destination.checks(at(target)),
    find: (target, signal) => find(at(target), signal),
    read: (target, range, signal) => read(at(target), range, signal),
    remove: (target, signal) => remove(at(target), signal),
    open: (target, signal) => open(at(target), signal),
    discard: (target, state, signal) => discard(at(target), state, signal)
  }
}

/** A file that a web server has whole, of a worker that died before it heard so. */
async function lostAnswer() {
  const server = await putServer()
  const workers = workersOf('http', {
    hashers,
    allowedNetworks: ['127.0.0.0/8'],
    allowedEndpoints: [],
    limits: PATIENT
  })
  const destination = onServer(workers, server.port)
  const task = oneTask(destination, engine, { options: { object: { key_template: 'disk.raw' } } })
  const { release, note } = task.tasks
  task.tasks.release = () => Promise.reject(new Error('the worker is dead'))
  task.tasks.note = (claim, told) => (told.sent ? Promise.reject(new Error('the worker is dead')) : note(claim, told))
  await task.runOnce()
  Object.assign(task.tasks, { release, note })
  server.objects.set(PATH, Buffer.from(IMAGE)) // which the attempt has removed, as it is not dead after all
  server.seen.length = 0
  return {
    ...task,
    server,
    destination,
    async [Symbol.asyncDispose]() {
      workers.closeWorkers()
      await server[Symbol.asyncDispose]()
    }
  }
}

it('a file that a web server has whole is not sent again when the worker died before the answer', async () => {
  await using task = await lostAnswer()

  await task.runOnce()

  expect(task.row).toMatchObject({ status: 'success', result: { bytes: IMAGE.length, verify: { level: 'ranges' } } })
  expect(task.server.seen.filter(({ method }) => method === 'PUT' || method === 'DELETE')).toEqual([])
})

it.each(['it is read again', 'its success is written down'])(
  'and is removed when the task is canceled while %s',
  async (when) => {
    await using task = await lostAnswer()
    const cancel = () => {
      task.row.cancel = { by: 'user', reason: null, at: new Date() }
    }
    const { settleSuccess } = task.tasks
    if (when === 'it is read again') {
      task.destination.read = async function* (_target, _range, signal) {
        cancel()
        await once(signal, 'abort')
        yield Buffer.alloc(0)
        throw signal.reason
      }
    } else {
      task.tasks.settleSuccess = (...told) => {
        cancel()
        return settleSuccess(...told)
      }
    }

    await task.runOnce()

    expect(task.row).toMatchObject({ failure: { code: 'CANCELED_BY_USER' }, cleanup: { state: 'done' } })
    expect([...task.server.objects.keys()]).toEqual([])
  }
)
