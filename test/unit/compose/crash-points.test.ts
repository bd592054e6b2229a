import { describe, expect, it } from 'vitest'
import { crashPoints } from '../../../src/compose/crash-points.ts'
import { readConfig } from '../../../src/config.ts'

/** A port with an upload behind it, and what has happened so far. */
function watched(at: string | undefined) {
  const events: string[] = []
  const upload = {
    partBytes: 5,
    async putPart(number: number) {
      events.push(`part ${number}`)
    }
  }
  class Destination {
    readonly #calls = events
    async open() {
      this.#calls.push('open')
      return upload
    }
    async resume() {
      return { upload, kept: [1] }
    }
  }
  const port = { forTarget: () => new Destination() }
  const watch = crashPoints(at, () => events.push('CRASH'))
  return { events, port, watched: watch('destinations', port) }
}

describe('crash points', () => {
  it('leave the port alone where nothing is asked for', () => {
    const { port, watched: same } = watched(undefined)
    expect(same).toBe(port)
  })

  it('crash before the call is made', async () => {
    const { events, watched: port } = watched('before destination.open')
    await port.forTarget().open()
    expect(events).toEqual(['CRASH', 'open'])
  })

  it('crash after the call that is counted, and once', async () => {
    const { events, watched: port } = watched('after upload.putPart 2')
    const upload = await port.forTarget().open()
    for (const number of [1, 2, 3]) await upload.putPart(number)
    expect(upload.partBytes).toBe(5)
    expect(events).toEqual(['open', 'part 1', 'part 2', 'CRASH', 'part 3'])
  })

  it('watch an upload that is gone on with', async () => {
    const { events, watched: port } = watched('before upload.putPart')
    const { upload, kept } = await port.forTarget().resume()
    await upload.putPart(2)
    expect([kept, events]).toEqual([[1], ['CRASH', 'part 2']])
  })

  it('are for tests: without LOG_LEVEL=debug the service does not start', () => {
    const read = (env: Record<string, string>) =>
      readConfig({ CRASH_AT: 'after upload.putPart 2', ...env }, { split: false })
    expect(() => read({})).toThrow(/CRASH_AT .* needs LOG_LEVEL=debug/)
    expect(() => read({ LOG_LEVEL: 'debug', CRASH_AT: 'somewhere' })).toThrow(/CRASH_AT must match pattern/)
    expect(read({ LOG_LEVEL: 'debug' }).CRASH_AT).toBe('after upload.putPart 2')
  })
})
