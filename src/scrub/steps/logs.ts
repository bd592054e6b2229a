import type { GuestChange, GuestFiles } from '../guest.ts'
import type { ScrubStep } from '../scrub-step.ts'

const ROTATED = /\.(?:gz|xz|bz2|zst|old|\d+)$|-\d{8}$/
/** A journal's folder has the machine's id for its name. */
const JOURNAL = '/var/log/journal'

/** Files stay, empty, as do folders, since many daemons cannot make them again; what was rotated goes. */
export const logs: ScrubStep = {
  id: 'logs',
  about: 'what the system has written down about its past',
  generalizes: true,
  changes: (files) => below(files, '/var/log')
}

async function* below(files: GuestFiles, folder: string): AsyncGenerator<GuestChange> {
  for (const { name, kind, bytes } of await files.list(folder)) {
    const path = `${folder}/${name}`
    if (kind === 'folder' && folder === JOURNAL) yield { kind: 'remove', path }
    else if (kind === 'folder') yield* below(files, path)
    else if (kind === 'file' && ROTATED.test(name)) yield { kind: 'remove', path }
    else if (kind === 'file' && bytes > 0) yield { kind: 'empty', path }
  }
}
