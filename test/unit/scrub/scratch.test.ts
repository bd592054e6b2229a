import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ScratchFull } from '../../../src/domain/scrub-errors.ts'
import { Scratch } from '../../../src/scrub/scratch.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'scratch-test-'))
})
afterEach(() => rm(root, { recursive: true }))

const scratch = (reserveBytes = 0) => new Scratch({ root, host: 'here', pid: process.pid, reserveBytes })

it('gives folders of their own, for nobody else, that are gone with all in them', async () => {
  await using other = await scratch().folder()
  const folder = await scratch().folder()
  await writeFile(join(folder.path, 'overlay'), 'x')

  expect(folder.path).not.toBe(other.path)
  expect((await stat(folder.path)).mode & 0o777).toBe(0o700)
  await folder[Symbol.asyncDispose]()
  await expect(stat(folder.path)).rejects.toMatchObject({ code: 'ENOENT' })
})

it('gives none where there is no room', async () => {
  await expect(scratch(Number.MAX_SAFE_INTEGER).folder()).rejects.toBeInstanceOf(ScratchFull)
})

it('clears away what dead workers of this machine left, and nothing of others', async () => {
  const child = spawn('true')
  await once(child, 'exit')
  const living = `here.${process.ppid}`
  for (const name of [`here.${child.pid}`, `here.${process.pid}`, living, 'elsewhere.1', 'here.x', 'here'])
    await mkdir(join(root, name, 'export-1'), { recursive: true })

  expect(await scratch().clear()).toBe(2)

  expect((await readdir(root)).sort()).toEqual(['elsewhere.1', 'here', 'here.x', living].sort())
})

it('has nothing to clear where there is no such folder yet', async () => {
  const none = new Scratch({ root: join(root, 'none'), host: 'here', pid: 1, reserveBytes: 0 })

  expect(await none.clear()).toBe(0)
})
