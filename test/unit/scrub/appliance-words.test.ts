import { describe, expect, it } from 'vitest'
import { commandLine, fitsList, inLists, listOf } from '../../../src/scrub/appliance/command-line.ts'
import { factsOf } from '../../../src/scrub/appliance/file-facts.ts'
import { inShell, pathInShell } from '../../../src/scrub/appliance/shell.ts'

const EVERY_BYTE = Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1)).join('')

describe('a command of the appliance', () => {
  it.each([
    '/etc/passwd | sh',
    '"; !touch /tmp/x; "',
    "it's <2> $(id) `id` ~root",
    'two\nlines',
    '\\x00\\',
    EVERY_BYTE
  ])('holds %j as one argument in which nothing is special', (path) => {
    const line = commandLine('rm', path)

    expect(line).toMatch(/^rm "(?:[A-Za-z0-9_./-]|\\x[0-9a-f]{2})*"$/)
    expect(unquoted(line.slice(4, -1))).toBe(path)
  })

  it('is refused when it cannot be said: what is too long would be two commands', () => {
    expect(() => commandLine('rm', '/nul\0')).toThrow(expect.objectContaining({ rule: 'name' }))
    expect(() => commandLine('rm', '/\u0100')).toThrow(expect.objectContaining({ rule: 'name' }))
    expect(() => commandLine('rm', `/${'"'.repeat(2000)}`)).toThrow(expect.objectContaining({ rule: 'name-too-long' }))
  })

  it('takes lists of names, each line short enough, all names in their order', () => {
    const names = Array.from({ length: 3000 }, (_, i) => `${i} ü`.padEnd(1 + (i % 255), '\n'))

    const lists = [...inLists('/a'.repeat(100), names)]

    expect(lists.flat()).toEqual(names)
    for (const list of lists) expect(() => commandLine('lstatnslist', '/a'.repeat(100), listOf(list))).not.toThrow()
  })

  it('leaves names out of lists that a list cannot hold', () => {
    expect(["it's", 'back\\slash', 'spaces and\nlines', '"'].map(fitsList)).toEqual([false, false, true, true])
  })
})

describe("a name in the appliance's own shell", () => {
  it('is one that means nothing to a shell, or it is refused', () => {
    expect(inShell('/dev/vg-0/lv_1.x+y')).toBe('/dev/vg-0/lv_1.x+y')
    expect(pathInShell('/var/swap.1')).toBe('/sysroot/var/swap.1')
    for (const name of [
      '/a b',
      '/a;b',
      '/$(b)',
      "/a'b",
      '/a"b',
      '/a\nb',
      '/a\\b',
      '/a|b',
      '/a*',
      '/a/../b',
      'a',
      '-a',
      '',
      '/'
    ]) {
      expect(() => inShell(name)).toThrow(expect.objectContaining({ rule: 'name' }))
      expect(() => pathInShell(name)).toThrow(expect.objectContaining({ rule: 'name' }))
    }
  })
})

describe('facts of files', () => {
  const struct = (mode: number, ino: number, size: number) =>
    `{\n  st_dev: 2048\n  st_ino: ${ino}\n  st_mode: ${mode}\n  st_uid: 7\n  st_gid: 8\n  st_size: ${size}\n}\n`

  it('are read for each name, with what is not there', () => {
    const printed = `[0] = ${struct(0o100640, 5, 12)}[1] = ${struct(0, -1, 0)}[2] = ${struct(0o41777, 6, 4096)}[3] = ${struct(0o120777, 9, 3)}[4] = ${struct(0o60600, 9, 0)}`

    expect(factsOf(printed, ['a', 'b', 'c', 'd', 'e'])).toEqual([
      { name: 'a', kind: 'file', bytes: 12, mode: 0o640, uid: 7, gid: 8 },
      undefined,
      { name: 'c', kind: 'folder', bytes: 0, mode: 0o1777, uid: 7, gid: 8 },
      { name: 'd', kind: 'link', bytes: 0, mode: 0o777, uid: 7, gid: 8 },
      { name: 'e', kind: 'other', bytes: 0, mode: 0o600, uid: 7, gid: 8 }
    ])
  })

  it('are none where fewer are told than were asked for', () => {
    expect(factsOf('', ['a'])).toEqual([undefined])
  })
})

/** As guestfish takes a quoted string apart. */
const unquoted = (text: string): string =>
  text.replace(/\\x([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
