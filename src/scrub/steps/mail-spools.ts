import type { GuestChange, GuestFiles } from '../guest.ts'
import { emptying } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

const QUEUES = ['/var/spool/exim4/input', '/var/spool/exim4/msglog', '/var/spool/mqueue', '/var/spool/clientmqueue']
const OF_POSTFIX = [
  'active',
  'bounce',
  'corrupt',
  'defer',
  'deferred',
  'flush',
  'hold',
  'incoming',
  'maildrop',
  'saved'
]

export const mailSpools: ScrubStep = {
  id: 'mail-spools',
  about: "users' mailboxes on the machine, and mail that waits to be sent",
  generalizes: true,
  async *changes(files) {
    yield* emptying(files, ['/var/mail', '/var/spool/mail', ...QUEUES])
    for (const queue of OF_POSTFIX) yield* filesBelow(files, `/var/spool/postfix/${queue}`)
  }
}

/** Postfix wants its folders with the owners they have. */
async function* filesBelow(files: GuestFiles, folder: string): AsyncGenerator<GuestChange> {
  for (const { name, kind } of await files.list(folder)) {
    const path = `${folder}/${name}`
    if (kind === 'folder') yield* filesBelow(files, path)
    else yield { kind: 'remove', path }
  }
}
