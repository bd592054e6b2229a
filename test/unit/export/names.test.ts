import { describe, expect, it } from 'vitest'
import { failure } from '../../../src/destinations/failures.ts'
import type { IfExists, Sidecar } from '../../../src/domain/export-options.ts'
import { ownerId } from '../../../src/domain/ids.ts'
import { Secret } from '../../../src/domain/secret.ts'
import { objectName } from '../../../src/export/object-name.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { IMAGE, oneTask, testEngine } from './one-task.ts'

const engine = testEngine()
const URL_OF = (name: string) => `memory://place/folder/${name}`

const named = (place: ReturnType<typeof memoryDestination>, if_exists: IfExists, sidecars: readonly Sidecar[] = []) =>
  oneTask(place.destination, engine, { options: { sidecars, object: { key_template: 'disk.raw', if_exists } } })

/** The name without a suffix is another task's. */
function whileAnotherWrites(task: ReturnType<typeof oneTask>) {
  const { takeName } = task.tasks
  task.tasks.takeName = async (claim, name) => (name.suffix === 0 ? false : takeName(claim, name))
  return () => Object.assign(task.tasks, { takeName })
}

describe('a name that another task is writing to', () => {
  it('is left to that by suffix', async () => {
    const place = memoryDestination()
    const task = named(place, 'suffix')
    whileAnotherWrites(task)

    await task.runOnce()

    expect(task.row.result?.location).toBe(URL_OF('disk-1.raw'))
    expect([...place.objects.keys()]).toEqual([URL_OF('disk-1.raw')])
  })

  it('ends a task of the policy fail before its first byte', async () => {
    const place = memoryDestination()
    const task = named(place, 'fail')
    whileAnotherWrites(task)

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })
    expect(task.row.message).toContain('another task')
    expect(place.calls).not.toContain('open')
  })

  it.each<IfExists>(['replace', 'reuse'])('is waited for by %s, at no cost of an attempt', async (policy) => {
    const place = memoryDestination()
    const task = named(place, policy)
    const free = whileAnotherWrites(task)

    await task.runOnce()

    expect(task.row.released).toEqual([expect.objectContaining({ countAttempt: false })])
    expect(place.calls).not.toContain('open')
    free()
    await task.runOnce()
    expect(task.row.status).toBe('success')
  })

  it('is looked at again when it has become free: that task may have written it', async () => {
    const place = memoryDestination()
    const task = named(place, 'suffix')
    const { takeName } = task.tasks
    const taken: number[] = []
    task.tasks.takeName = async (claim, name) => {
      taken.push(name.suffix)
      if (name.suffix === 0) await named(place, 'fail').runOnce()
      return takeName(claim, name)
    }

    await task.runOnce()

    expect(task.row.result?.location).toBe(URL_OF('disk-1.raw'))
    expect(taken).toEqual([0, 1])
  })
})

describe('an object of somebody else that appears while the export is under way', () => {
  it('makes the next attempt take another name, by suffix', async () => {
    const foreign = uploadTarget('memory://place', 3)
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'commit') place.objects.set(URL_OF('disk.raw'), { bytes: Buffer.from('abc'), target: foreign })
      }
    })
    const task = named(place, 'suffix')
    await task.runOnce()
    expect(task.row).toMatchObject({ status: 'queued', released: [{ countAttempt: true }] })

    await task.runOnce()

    expect(task.row.result?.location).toBe(URL_OF('disk-1.raw'))
    expect(place.objects.get(URL_OF('disk.raw'))?.bytes.toString()).toBe('abc')
  })

  it('ends the task by the policy fail', async () => {
    const place = memoryDestination({
      failing: (call) => {
        if (call === 'commit') throw failure('objectExists', 'place')
      }
    })
    const task = named(place, 'fail')

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS' } })
    expect(task.row.message).toMatch(/if_exists.*key_template|key_template.*if_exists/)
  })
})

describe("somebody else's object where a sidecar is to stand", () => {
  const foreign = (place: ReturnType<typeof memoryDestination>, ending: string) => {
    const target = uploadTarget('memory://place', 3)
    place.objects.set(URL_OF(`disk.raw${ending}`), { bytes: Buffer.from('abc'), target })
  }

  it.each<[Sidecar, string]>([
    ['sha256', '.sha256'],
    ['manifest', '.manifest.json']
  ])('is not replaced by %s: the task ends before its first byte', async (sidecar, ending) => {
    const place = memoryDestination()
    foreign(place, ending)
    const task = named(place, 'fail', [sidecar])

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'failure', failure: { code: 'DEST_OBJECT_EXISTS', phase: 'preflight' } })
    expect(task.row.message).toContain('sidecar')
    expect(place.calls).not.toContain('open')
  })

  it('makes suffix choose another name', async () => {
    const place = memoryDestination()
    foreign(place, '.sha256')
    const task = named(place, 'suffix', ['sha256'])

    await task.runOnce()

    expect(task.row.result?.sidecars).toEqual({ sha256: URL_OF('disk-1.raw.sha256') })
    expect(place.objects.get(URL_OF('disk.raw.sha256'))?.bytes.toString()).toBe('abc')
  })

  it('is replaced by replace', async () => {
    const place = memoryDestination()
    foreign(place, '.sha256')
    const task = named(place, 'replace', ['sha256'])

    await task.runOnce()

    expect(place.objects.get(URL_OF('disk.raw.sha256'))?.bytes.toString()).toMatch(/^[0-9a-f]{64} {2}disk\.raw\n$/)
  })

  it('stays when it appears only while the image is sent: then a warning tells', async () => {
    const place = memoryDestination({
      failing: (call, target) => {
        if (call === 'commit' && target.url.href === URL_OF('disk.raw')) foreign(place, '.sha256')
      }
    })
    const task = named(place, 'fail', ['sha256'])

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', warnings: [{ code: 'SIDECAR_NOT_WRITTEN' }] })
    expect(place.objects.get(URL_OF('disk.raw.sha256'))?.bytes.toString()).toBe('abc')
  })

  it('is none of the task that comes back to its own', async () => {
    const place = memoryDestination({ marks: false })
    const task = named(place, 'fail', ['sha256', 'manifest'])
    const { settleSuccess } = task.tasks
    task.tasks.settleSuccess = () => Promise.reject(new Error('the worker is dead'))
    await task.runOnce()
    Object.assign(task.tasks, { settleSuccess })

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', warnings: [] })
    expect(Object.keys(task.row.result?.sidecars ?? {})).toEqual(['sha256', 'manifest'])
  })
})

describe('what a worker that died has left complete where nothing tells whose it is', () => {
  /** As a web server: the object is there with the last byte of the body, and its answer is lost. */
  async function lostAnswer(verify: 'none' | 'etag', spoil: (bytes: Buffer) => Buffer = (bytes) => bytes) {
    const place = memoryDestination({ marks: false })
    const task = oneTask(place.destination, engine, {
      options: { verify, object: { key_template: 'disk.raw' } }
    })
    const { release, note } = task.tasks
    task.tasks.release = () => Promise.reject(new Error('the worker is dead'))
    task.tasks.note = async (claim, told) => {
      if (told.sent) throw new Error('the worker is dead')
      return note(claim, told)
    }
    await task.runOnce()
    Object.assign(task.tasks, { release, note })
    place.objects.set(task.url, { bytes: spoil(Buffer.from(IMAGE)), target: uploadTarget('memory://place', 3) })
    place.calls.length = 0
    return { place, task }
  }

  it('is read back and taken, not sent again', async () => {
    const { place, task } = await lostAnswer('etag')

    await task.runOnce()

    expect(task.row).toMatchObject({ status: 'success', result: { bytes: IMAGE.length, verify: { level: 'ranges' } } })
    expect(place.calls).not.toContain('open')
    expect(place.calls).not.toContain('discard')
  })

  it('is not taken when it has other bytes', async () => {
    const { place, task } = await lostAnswer('etag', (bytes) => bytes.fill(7, 0, 10))

    await task.runOnce()

    expect(place.calls).toContain('discard')
    expect(task.row.failure?.code).toBe('DEST_OBJECT_EXISTS')
  })

  it('is not taken where nothing is to be read', async () => {
    const { place, task } = await lostAnswer('none')

    await task.runOnce()

    expect(place.calls).not.toContain('read')
    expect(place.calls).toContain('discard')
  })
})

describe('the name under which tasks are kept apart', () => {
  const where = (url: string, more: object = {}) => {
    const { marks } = uploadTarget('memory://place', 3)
    return { objectUrl: new URL(url), credentials: undefined, marks, object: {}, ...more }
  }
  const owned = (owner: string) => ({ marks: { ...where('file:///a').marks, owner: ownerId(owner) } })
  const at = (endpoint: string) => ({ credentials: new Secret({ kind: 's3_static', endpoint }) })

  it.each([
    ['spellings of the host', where('https://Host.example/a'), where('https://host.example:443/a'), true],
    ['spellings of the path', where('https://h.example/a%7Eb'), where('https://h.example/a~b'), true],
    ['slashes in a name', where('https://h.example/a%2Fb'), where('https://h.example/a/b'), false],
    ['projects', where('https://h.example/a', owned('x')), where('https://h.example/a', owned('y')), true],
    ['folders of projects', where('file:///a', owned('x')), where('file:///a', owned('y')), false],
    [
      'buckets of two stores',
      where('s3://b/k', at('https://a.example')),
      where('s3://b/k', at('https://b.example')),
      false
    ],
    [
      'spellings of a store',
      where('s3://b/k', at('https://a.example')),
      where('s3://b/k', at('https://a.example/')),
      true
    ]
  ])('%s: %#', (_case, a, b, same) => {
    expect(objectName(a, 0) === objectName(b, 0)).toBe(same)
  })

  it('has the suffix in it', () => {
    const place = where('https://h.example/disk.raw')

    expect(objectName(place, 1)).toBe(objectName(where('https://h.example/disk-1.raw'), 0))
  })
})
