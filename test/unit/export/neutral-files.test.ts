import { hostname, userInfo } from 'node:os'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { FormatOptions } from '../../../src/domain/task.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { oneTask, testEngine } from './one-task.ts'

/** Every format with every choice of its kind. */
const CASES = [...createFormats().values()].flatMap(({ name, options }): [string, FormatOptions][] => {
  const { subformat = [], compression = [] } = options
  const all = [...subformat.map((kind) => ({ subformat: kind })), ...compression.map((kind) => ({ compression: kind }))]
  return (all.length > 0 ? all : [{}]).map((chosen) => [name, chosen as FormatOptions])
})

describe('a written file', () => {
  const engine = testEngine()
  afterEach(() => {
    vi.useRealTimers()
  })

  const written = async (exportFormat: string, formatOptions: FormatOptions): Promise<Buffer> => {
    const place = memoryDestination()
    const task = oneTask(place.destination, engine, { exportFormat, formatOptions })
    await task.runOnce()
    expect(task.row.status).toBe('success')
    return place.objects.get(task.url)?.bytes ?? Buffer.alloc(0)
  }

  it.each(CASES)('of %s %o is the same in another task, of another image, years later', async (format, options) => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-03-04T05:06:07Z') })
    const one = await written(format, options)
    vi.setSystemTime(new Date('2031-08-09T10:11:12Z'))
    const other = await written(format, options)

    expect(one.length).toBeGreaterThan(0)
    expect(one.equals(other)).toBe(true)
    for (const name of [hostname(), userInfo().username, 'glance', '2026', '2031'])
      expect(name.length > 3 && one.includes(name), name).toBe(false)
  })
})
