import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

const SRC = join(import.meta.dirname, '../src')

/** Room -> rooms it may import. A room may always import itself and `domain`. Their order is the direction. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  embedded: [],
  hashing: [],
  disks: [],
  destinations: ['hashing'],
  images: ['disks', 'hashing'],
  formats: ['disks'],
  jail: [],
  scrub: ['disks', 'jail'],
  pipeline: ['disks', 'formats', 'destinations', 'hashing'],
  export: ['disks', 'images', 'formats', 'destinations', 'pipeline', 'scrub'],
  'temp-urls': ['disks', 'images', 'formats', 'destinations', 'hashing', 'pipeline', 'export'],
  library: ['disks', 'images'],
  vault: ['export', 'destinations'],
  postgres: ['export', 'library', 'temp-urls'],
  queue: ['export'],
  http: ['export', 'library', 'temp-urls', 'disks', 'destinations']
}
/** Libraries that belong to one room: nobody else may know of them. */
const OWN_LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  fastify: ['http'],
  '@fastify/': ['http'],
  bullmq: ['queue', 'postgres'],
  pg: ['postgres', 'embedded'],
  '@aws-sdk/': ['destinations'],
  ssh2: ['destinations'],
  'node:http': ['destinations', 'http'],
  'node:child_process': ['embedded', 'jail', 'scrub']
}
/** What builds the whole may know every room. */
const BUILDERS = ['compose', 'config.ts', 'logger.ts', 'settings.ts', 'start']

const room = (path: string): string => path.split('/')[0] ?? ''
const files = globSync('**/*.ts', { cwd: SRC })
const imports = files.flatMap((file) =>
  [...readFileSync(join(SRC, file), 'utf8').matchAll(/(?:from|import) '([^']+)'/g)].map(([, target = '']) => ({
    file,
    target: target.startsWith('.') ? relative(SRC, join(SRC, dirname(file), target)) : target,
    inside: target.startsWith('.')
  }))
)

describe('imports', () => {
  it('are found at all', () => {
    expect(imports.filter(({ inside }) => inside).length).toBeGreaterThan(100)
  })

  it('follow the direction of the rooms', () => {
    const breaches = imports
      .filter(({ inside, file }) => inside && !BUILDERS.includes(room(file)))
      .filter(({ file, target }) => ![room(file), 'domain', ...(MAY_IMPORT[room(file)] ?? [])].includes(room(target)))
    expect(breaches).toEqual([])
  })

  it('keep libraries in their rooms, but for types', () => {
    const breaches = imports
      .filter(({ inside, file }) => !inside && !BUILDERS.includes(room(file)))
      .filter(({ file, target }) =>
        Object.entries(OWN_LIBRARIES).some(
          ([library, rooms]) =>
            (library.endsWith('/') ? target.startsWith(library) : target === library) &&
            !rooms.includes(room(file)) &&
            !onlyTypes(file, target)
        )
      )
    expect(breaches).toEqual([])
  })

  it('open the vault in the worker only', () => {
    const openers = imports.filter(({ target }) => target === 'vault/opener.ts').map(({ file }) => file)
    expect(openers).toEqual(['compose/worker.ts'])
  })

  it('know every room', () => {
    const rooms = new Set(files.map(room).filter((name) => !BUILDERS.includes(name)))
    expect([...rooms].sort()).toEqual(Object.keys(MAY_IMPORT).sort())
  })
})

const onlyTypes = (file: string, target: string): boolean =>
  new RegExp(`import type [^\\n]*from '${target}'`).test(readFileSync(join(SRC, file), 'utf8'))

describe('files', () => {
  it('read the environment in start/ only', () => {
    const readers = files.filter((file) => /process\.env\b/.test(readFileSync(join(SRC, file), 'utf8')))
    expect(readers.filter((file) => room(file) !== 'start')).toEqual([])
  })

  it('have no barrels and no drawers for everything', () => {
    expect(files.filter((file) => /(^|\/)(index\.ts|utils|helpers|common|types|services)(\/|$)/.test(file))).toEqual([])
  })

  it('stay readable: at most 300 lines', () => {
    // Every way a destination can fail, and what is said of it; every setting.
    const oneTable = ['destinations/situations.ts', 'settings.ts']
    const long = files.filter((file) => readFileSync(join(SRC, file), 'utf8').split('\n').length > 300)
    expect(long.sort()).toEqual(oneTable)
  })
})
