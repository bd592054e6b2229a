import { expect, it } from 'vitest'
import type { ByteSource } from '../../../src/domain/bytes.ts'
import { untilAborted } from '../../../src/images/until-aborted.ts'

async function* counting(seen: string[]): AsyncGenerator<Uint8Array> {
  try {
    for (let n = 1; n <= 3; n += 1) {
      seen.push(`made ${n}`)
      yield Buffer.from([n])
    }
  } finally {
    seen.push('closed')
  }
}

async function numbersOf(source: ByteSource): Promise<number[]> {
  const numbers: number[] = []
  for await (const chunk of source) numbers.push(...chunk)
  return numbers
}

it('passes every chunk on when nobody aborts', async () => {
  expect(await numbersOf(untilAborted(counting([]), new AbortController().signal))).toEqual([1, 2, 3])
})

it('asks for no further chunk after the abort and closes the source', async () => {
  const controller = new AbortController()
  const seen: string[] = []
  const chunks = untilAborted(counting(seen), controller.signal)
  await chunks.next()

  controller.abort(new Error('enough'))

  await expect(chunks.next()).rejects.toThrow('enough')
  expect(seen).toEqual(['made 1', 'closed'])
})

it('closes the source when its reader stops early', async () => {
  const seen: string[] = []
  for await (const _first of untilAborted(counting(seen), new AbortController().signal)) break

  expect(seen).toEqual(['made 1', 'closed'])
})

it('does not start a source for somebody who has given up', async () => {
  const seen: string[] = []

  await expect(numbersOf(untilAborted(counting(seen), AbortSignal.abort(new Error('enough'))))).rejects.toThrow(
    'enough'
  )

  expect(seen).toEqual([])
})
