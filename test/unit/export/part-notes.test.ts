import { describe, expect, it } from 'vitest'
import type { Part } from '../../../src/destinations/destination.ts'
import { PartNotes } from '../../../src/export/attempt/part-notes.ts'
import type { BegunPart } from '../../../src/export/ports.ts'
import { memoryUpload } from '../../support/memory-upload.ts'

const never = new AbortController().signal
const part = (number: number): Part => ({ number, offset: 10 * (number - 1), length: 10 })
async function* tenBytes() {
  yield Buffer.alloc(10)
}

/** A store whose writes end when the test lets them. */
function slowStore() {
  const writes: BegunPart[][] = []
  const waiting: PromiseWithResolvers<void>[] = []
  return {
    writes,
    write: (parts: readonly BegunPart[]) => {
      writes.push([...parts])
      const end = Promise.withResolvers<void>()
      waiting.push(end)
      return end.promise
    },
    next: () => waiting.shift()
  }
}
const confirmed = (number: number) => ({ number, sent: { number, bytes: 10 } })

describe('notes of parts', () => {
  it('are written one after another, each with all that came meanwhile, and keep no part waiting', async () => {
    const store = slowStore()
    const notes = new PartNotes(store.write, () => {})
    const upload = notes.of(memoryUpload(100, { partBytes: 10 }).upload)

    for (const number of [1, 2, 3]) await upload.putPart(part(number), tenBytes(), never)

    expect(store.writes).toEqual([[{ number: 1, sent: null }]])
    const flushed = notes.flush()
    store.next()?.resolve()
    await expect.poll(() => store.writes.length).toBe(2)
    expect(store.writes[1]).toEqual([confirmed(1), confirmed(2), confirmed(3)])
    store.next()?.resolve()
    await flushed
    expect(store.writes).toHaveLength(2)
  })

  it('that could not be written go with the next, unless there is something newer', async () => {
    const store = slowStore()
    const failures: unknown[] = []
    const notes = new PartNotes(store.write, (error) => failures.push(error))
    const upload = notes.of(memoryUpload(100, { partBytes: 10 }).upload)
    await upload.putPart(part(1), tenBytes(), never)
    store.next()?.reject(new Error('the database is away'))
    await expect.poll(() => failures).toHaveLength(1)

    await upload.putPart(part(2), tenBytes(), never)
    const flushed = notes.flush()
    store.next()?.resolve()
    await expect.poll(() => store.writes.length).toBe(3)
    store.next()?.resolve()
    await flushed

    expect(store.writes[1]).toEqual([confirmed(1), { number: 2, sent: null }])
    expect(store.writes[2]).toEqual([confirmed(2)])
  })

  it('say nothing of a part that failed but that it was begun', async () => {
    const store = slowStore()
    const notes = new PartNotes(store.write, () => {})
    const refusing = memoryUpload(100, { put: () => Promise.reject(new Error('refused')) })

    await expect(notes.of(refusing.upload).putPart(part(4), tenBytes(), never)).rejects.toThrow('refused')

    expect(store.writes).toEqual([[{ number: 4, sent: null }]])
  })
})
