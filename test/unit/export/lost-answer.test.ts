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

it('a file that a web server has whole is not sent again when the worker died before the answer', async () => {
  await using server = await putServer()
  const workers = workersOf('http', {
    hashers,
    allowedNetworks: ['127.0.0.0/8'],
    allowedEndpoints: [],
    limits: PATIENT
  })
  const task = oneTask(onServer(workers, server.port), engine, { options: { object: { key_template: 'disk.raw' } } })
  const { release, note } = task.tasks
  task.tasks.release = () => Promise.reject(new Error('the worker is dead'))
  task.tasks.note = (claim, told) => (told.sent ? Promise.reject(new Error('the worker is dead')) : note(claim, told))
  await task.runOnce()
  Object.assign(task.tasks, { release, note })
  server.objects.set(PATH, Buffer.from(IMAGE)) // which the attempt has removed, as it is not dead after all
  server.seen.length = 0

  await task.runOnce()

  expect(task.row).toMatchObject({ status: 'success', result: { bytes: IMAGE.length, verify: { level: 'ranges' } } })
  expect(server.seen.filter(({ method }) => method === 'PUT' || method === 'DELETE')).toEqual([])
  workers.closeWorkers()
})
