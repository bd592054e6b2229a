import type { GuestChange, GuestFiles } from '../guest.ts'
import { inHomes } from '../homes.ts'
import { emptying, removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

/** apt wants the folders in these. */
const OF_APT = ['/var/cache/apt/archives', '/var/lib/apt/lists']
const WHOLE = ['/var/cache/dnf', '/var/cache/yum', '/var/cache/zypp', '/var/cache/pacman/pkg', '/var/cache/apk']
const IN_HOMES = ['.cache/pip', '.cache/pipenv', '.cache/yarn', '.cache/go-build', '.npm/_cacache', '.npm/_logs']

export const packageCaches: ScrubStep = {
  id: 'package-caches',
  about: 'what package managers have fetched and can fetch again',
  generalizes: true,
  async *changes(files) {
    for (const folder of OF_APT) yield* withoutFiles(files, folder)
    yield* removing(files, ['/var/cache/apt/*.bin'])
    yield* emptying(files, WHOLE)
    for await (const { path } of inHomes(files, IN_HOMES)) yield { kind: 'remove', path }
  }
}

async function* withoutFiles(files: GuestFiles, folder: string): AsyncGenerator<GuestChange> {
  for (const { name, kind } of await files.list(folder)) {
    const path = `${folder}/${name}`
    if (kind === 'folder') yield* emptying(files, [path])
    else yield { kind: 'remove', path }
  }
}
