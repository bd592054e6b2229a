import { describe, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { Buffers } from '../../../src/pipeline/buffers.ts'
import { KeptBody } from '../../../src/pipeline/kept-body.ts'

const LIMIT = 64

describe('KeptBody', () => {
  it('gives back what was added, in its order, and is not changed with what it was given', () => {
    using body = new KeptBody(new Buffers())
    const given = Buffer.alloc(700_000)
    for (const value of [1, 2, 3]) body.add(given.fill(value))

    const kept = Buffer.concat([...body.chunks()])
    expect(kept.equals(Buffer.concat([1, 2, 3].map((value) => Buffer.alloc(700_000, value))))).toBe(true)
    expect(body.whole).toBe(true)
  })

  it('keeps nothing of what is larger than the memory for it, and leaves that to others', () => {
    const buffers = new Buffers()
    using tooLarge = new KeptBody(buffers)
    for (let i = 0; i < LIMIT; i++) tooLarge.add(Buffer.alloc(MiB))
    expect(tooLarge.whole).toBe(true)
    tooLarge.add(Buffer.alloc(1))

    expect([tooLarge.whole, [...tooLarge.chunks()].length]).toEqual([false, 0])
    tooLarge.add(Buffer.alloc(1))
    expect(tooLarge.whole).toBe(false)
    using other = new KeptBody(buffers)
    for (let i = 0; i < LIMIT; i++) other.add(Buffer.alloc(MiB))
    expect(other.whole).toBe(true)
  })

  it('shares that memory with the other exports of the process', () => {
    const buffers = new Buffers()
    using second = new KeptBody(buffers)
    {
      using first = new KeptBody(buffers)
      for (let i = 0; i < LIMIT; i++) first.add(Buffer.alloc(MiB))
      second.add(Buffer.alloc(1))
      expect([first.whole, second.whole]).toEqual([true, false])
    }
    using third = new KeptBody(buffers)
    third.add(Buffer.alloc(1))
    expect(third.whole).toBe(true)
  })
})
