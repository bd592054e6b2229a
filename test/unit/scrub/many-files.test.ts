import { afterAll, beforeAll, expect, it } from 'vitest'
import { secretsScan } from '../../../src/scrub/secrets/scan.ts'
import { Workshop } from '../disks/workshop.ts'
import { debugfs } from './ext-maker.ts'
import { empty, scrubGuest, secretsIn, step, wanting } from './linux-guest.ts'
import { makeManyFiles } from './many-files.ts'
import { describeWithTools, tool } from './tools.ts'

/** One large folder and some others. A million in all, 200,000 of them in one folder, were tried by hand: docs/scrub.md. */
const FOLDERS = [20_000, ...Array.from({ length: 20 }, () => 500)]
const FILES = FOLDERS.reduce((sum, files) => sum + files, 0)
/** What people do not write in names, but programs may. */
const ODD = ['\n', '"', "'", '\\', '$(reboot)', '\x1b[2J', '\xff\xfe', ' ', '*', '-rf']

/** No two are equal, and every third is of letters that need care. */
const nameOf = (file: number): Buffer =>
  Buffer.from(`SECRET-log-${file}${file % 3 === 0 ? ODD[(file / 3) % ODD.length] : ''}`, 'latin1')

let workshop: Workshop
let path: string
beforeAll(async () => {
  workshop = await Workshop.open()
  path = await makeManyFiles(workshop, 'many', 64, FOLDERS, nameOf)
}, 60_000)
afterAll(() => workshop[Symbol.asyncDispose]())

describeWithTools(['mke2fs', 'debugfs', 'e2fsck', 'bwrap'], 'a guest with very many files', () => {
  it('loses all of them, whatever their names, and each is counted', async () => {
    const { steps } = await scrubGuest(path, `${path}-scrubbed`, [wanting(empty('/var/log'))])

    expect(steps[0]).toMatchObject({ files: FILES + FOLDERS.length, bytes: 0 })
    expect(await secretsIn(`${path}-scrubbed`)).toEqual([])
    await expect(tool('e2fsck', '-fn', `${path}-scrubbed`)).resolves.toContain('files')
  }, 60_000)

  it('shows every one of them to a step as it is', async () => {
    const seen = new Set<string>()
    const looking = step('looking', async function* (files) {
      for (const { name } of await files.list('/var/log/folder-0')) seen.add(name)
      yield* []
    })

    await scrubGuest(path, `${path}-seen`, [looking], [secretsScan([])])

    expect(seen).toEqual(new Set(Array.from({ length: FOLDERS[0] ?? 0 }, (_, i) => nameOf(i).toString('latin1'))))
  }, 60_000)

  it('is left to others where its folders go deeper than is followed', async () => {
    const deep = Array.from({ length: 520 }, () => ['mkdir d', 'cd d']).flat()
    const deeper = await makeManyFiles(workshop, 'deep', 16, [1], nameOf)
    await debugfs(workshop, deeper, ['cd /var/log', ...deep])

    const scrubbed = scrubGuest(deeper, `${deeper}-scrubbed`, [wanting(empty('/var/log'))])

    await expect(scrubbed).rejects.toMatchObject({ rule: 'too-deep' })
  }, 60_000)
})
