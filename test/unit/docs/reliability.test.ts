import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '../../..')
const table = readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8')
const rows = table.split('\n').filter((line) => /^\| \d/.test(line))
const campaign = globSync('torture/*.ts', { cwd: ROOT })
  .map((file) => readFileSync(join(ROOT, file), 'utf8'))
  .join()

const pathsIn = (row: string) =>
  [...row.matchAll(/`([a-z0-9-]+\/[^`]*)`/g)].map(
    ([, path = '']) => ['test', 'src', '.'].map((folder) => join(ROOT, folder, path)).find(existsSync) ?? path
  )
const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile()

describe('the table of faults', () => {
  it('has every row', () => {
    expect(rows.length).toBeGreaterThan(70)
  })

  it.each(rows)('%s', (row) => {
    const paths = pathsIn(row)
    const text = paths.filter(isFile).map((path) => readFileSync(path, 'utf8'))
    const titles = [...row.matchAll(/"([^"]+)"/g)].map(([, title = '']) => title)
    const steps = [...row.matchAll(/\*([^*]+)\*/g)].map(([, step = '']) => step)

    expect(paths.filter((path) => !existsSync(path))).toEqual([])
    expect(titles.filter((title) => !text.join().includes(title))).toEqual([])
    expect(steps.filter((step) => !campaign.includes(step))).toEqual([])
  })
})
