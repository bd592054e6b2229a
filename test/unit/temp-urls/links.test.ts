import { describe, expect, it } from 'vitest'
import { type Claimed, Links } from '../../../src/temp-urls/links.ts'
import type { TempUrl } from '../../../src/temp-urls/ports.ts'
import { derivedKeys } from '../../../src/vault/keys.ts'
import { servable } from './servable.ts'

const key = (letter: string) => Buffer.alloc(32, letter)
const keys = (...letters: string[]) => ({
  current: letters[0] ?? '',
  byId: new Map(letters.map((one) => [one, key(one)]))
})
const linksWith = (...letters: string[]) =>
  new Links(
    (purpose) => derivedKeys(keys(...letters), purpose),
    () => 'https://cloud.example/images/'
  )

const tempUrl = servable()
const BEFORE = tempUrl.expiresAt.getTime() - 1_000

/** What a request for this URL says, as the route reads it. */
function claimed(url: string, client = '198.51.100.1'): Claimed {
  const { pathname, searchParams } = new URL(url)
  return {
    fileName: decodeURIComponent(pathname.split('/').at(-1) ?? ''),
    signature: searchParams.get('temp_url_sig') ?? undefined,
    expires: searchParams.get('temp_url_expires') ?? undefined,
    ipRange: searchParams.get('temp_url_ip_range') ?? undefined,
    client
  }
}
const admits = (links: Links, url: string, to: TempUrl | undefined = tempUrl, now = BEFORE) =>
  links.admits(tempUrl.taskId, claimed(url), to, now)

describe('a link', () => {
  const links = linksWith('a')

  it("has Swift's parameters, below the public URL", () => {
    const url = new URL(links.url({ ...tempUrl, ipRange: '2001:db8::/32' }))

    expect(url.origin + url.pathname).toBe(
      `https://cloud.example/images/v2/exports/${tempUrl.taskId}/web%2001-43215678.qcow2`
    )
    expect([...url.searchParams.keys()]).toEqual(['temp_url_sig', 'temp_url_expires', 'temp_url_ip_range'])
    expect(url.searchParams.get('temp_url_expires')).toBe(String(Math.floor(tempUrl.expiresAt.getTime() / 1000)))
  })

  it('is admitted until its end, and not for what is gone', () => {
    const url = links.url(tempUrl)

    expect(admits(links, url)).toBe(true)
    expect(admits(links, url, tempUrl, tempUrl.expiresAt.getTime())).toBe(false)
    expect(links.admits(tempUrl.taskId, claimed(url), undefined, BEFORE)).toBe(false)
  })

  it('is void for another task, name or generation', () => {
    const url = links.url(tempUrl)

    expect(links.admits(servable().imageId as never, claimed(url), tempUrl, BEFORE)).toBe(false)
    expect(admits(links, url, { ...tempUrl, generation: 2 })).toBe(false)
    expect(admits(links, url, { ...tempUrl, fileName: 'other' })).toBe(false)
    expect(links.admits(tempUrl.taskId, { ...claimed(url), fileName: 'other' }, tempUrl, BEFORE)).toBe(false)
  })

  it('keeps its own end, also when another lives longer', () => {
    const short = links.url(tempUrl, new Date(BEFORE))
    const longer = { ...tempUrl, expiresAt: new Date(BEFORE + 1e9) }

    expect(admits(links, short, longer, BEFORE - 1_000)).toBe(true)
    expect(admits(links, short, longer, BEFORE)).toBe(false)
  })

  it('is for those of its range only, whatever range the task shows now', () => {
    const url = links.url({ ...tempUrl, ipRange: '203.0.113.0/24' })

    expect(links.admits(tempUrl.taskId, claimed(url, '203.0.113.9'), tempUrl, BEFORE)).toBe(true)
    expect(links.admits(tempUrl.taskId, claimed(url, '203.0.114.9'), tempUrl, BEFORE)).toBe(false)
  })

  it('outlives the rotation of its key, until the key is taken away', () => {
    const url = linksWith('a').url(tempUrl)

    expect(linksWith('b', 'a').url(tempUrl)).not.toBe(url)
    expect(admits(linksWith('b', 'a'), url)).toBe(true)
    expect(admits(linksWith('b'), url)).toBe(false)
  })
})
