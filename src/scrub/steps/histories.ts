import { homesOf } from '../homes.ts'
import type { ScrubStep } from '../scrub-step.ts'

const NAMES = new Set(['.lesshst', '.viminfo', '.histfile', '.dbshell', '.wget-hsts'])
const FURTHER = ['.local/share/nano/search_history', '.local/share/fish/fish_history', '.local/state/lesshst']

/** Of shells and clients: .bash_history, .psql_history, .mysql_history, .python_history and whatever else is called so. */
export const histories: ScrubStep = {
  id: 'histories',
  about: 'what users have typed into shells, databases, editors and pagers',
  generalizes: true,
  async *changes(files) {
    for (const home of await homesOf(files)) {
      const entries = await files.list(home)
      for (const { name, kind } of entries) {
        const isHistory = NAMES.has(name) || /^\.\S*history$/.test(name)
        if (isHistory && kind !== 'folder') yield { kind: 'remove', path: `${home}/${name}` }
      }
      if (!entries.some(({ name }) => name === '.local')) continue
      for (const path of FURTHER.map((name) => `${home}/${name}`))
        if ((await files.stat(path))?.kind === 'file') yield { kind: 'remove', path }
    }
  }
}
