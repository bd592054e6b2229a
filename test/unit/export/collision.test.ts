import { describe, expect, it } from 'vitest'
import type { Found } from '../../../src/destinations/destination.ts'
import type { IfExists } from '../../../src/domain/export-options.ts'
import { placeObject } from '../../../src/export/checks/collision.ts'
import { withSuffix } from '../../../src/export/requests/key-template.ts'
import { memoryDestination } from '../../support/memory-destination.ts'
import { uploadTarget } from '../../support/upload-target.ts'

const target = uploadTarget('memory://place', 10)
const named = new URL('memory://place/disk.raw')
const never = new AbortController().signal

/** What is decided when `found` stands at every name that is asked for. */
function decide(policy: IfExists, found: Found, url = named) {
  const { destination } = memoryDestination()
  const asked: string[] = []
  const finding = {
    ...destination,
    find: async ({ url }: { url: URL }) => {
      asked.push(url.href)
      return url.href.endsWith('.manifest.json') ? ({ status: 'absent' } as const) : found
    }
  }
  const at = (suffix: number) => ({ ...target, url: withSuffix(url, suffix) })
  const placing = placeObject(finding, at, { policy, sidecars: [], plan: { minLength: 10, maxLength: 10 } }, never)
  return { placing, asked }
}

const present = (change: object = {}): Found => ({
  status: 'present',
  length: 10,
  exportId: 'another',
  contentId: target.marks.contentId,
  ...change
})

describe('an object with', () => {
  it.each([
    ['the same bytes', {}, { kind: 'reuse', suffix: 0, bytes: 10, told: undefined }],
    ['other bytes of the same number', { contentId: 'other' }, undefined],
    ['fewer bytes', { length: 9 }, undefined],
    ['more bytes', { length: 11 }, undefined],
    ['a number of bytes that is not told', { length: undefined }, undefined],
    ['no marks', { exportId: undefined, contentId: undefined }, undefined]
  ])('%s is reused, or is in the way', async (_case, change, expected) => {
    const { placing } = decide('reuse', present(change))

    if (expected) expect(await placing).toEqual(expected)
    else await expect(placing).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', permanent: true })
  })
})

describe('where nobody may look', () => {
  it.each<[IfExists, URL, boolean]>([
    ['fail', named, false],
    ['suffix', named, false],
    ['reuse', named, false],
    ['replace', named, true],
    // Left by an earlier attempt of this very task, if by anybody.
    ['fail', target.url, true]
  ])('the policy %s writes to %s, replacing: %s', async (policy, url, replace) => {
    expect(await decide(policy, { status: 'unreadable' }, url).placing).toEqual({
      kind: 'write',
      suffix: 0,
      replace,
      unseen: true
    })
  })
})

it('a file of the file store is said to be there, and what to do about it', async () => {
  const { placing } = decide('fail', present(), new URL('file:///folder/disk.raw'))

  const message = expect.stringMatching(/^The file store holds an object.*object\.key_template.*object\.if_exists/)
  await expect(placing).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS', message })
})

it('an object of an earlier attempt of this task is written anew, whatever the policy', async () => {
  const found = present({ exportId: target.marks.exportId })

  expect(await decide('fail', found).placing).toEqual({ kind: 'write', suffix: 0, replace: true })
})

it('suffixes end somewhere', async () => {
  const { placing, asked } = decide('suffix', present())

  await expect(placing).rejects.toMatchObject({ code: 'DEST_OBJECT_EXISTS' })
  expect(asked).toHaveLength(101)
})
