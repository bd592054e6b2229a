import { inHomes } from '../homes.ts'
import type { ScrubStep } from '../scrub-step.ts'

/** Off unless it is asked for: it locks out those who log in with the keys. */
export const sshUserKeys: ScrubStep = {
  id: 'ssh-user-keys',
  about: "users' SSH keys, the keys that may log in, and known hosts",
  generalizes: false,
  async *changes(files) {
    for await (const { path, kind } of inHomes(files, ['.ssh'])) {
      if (kind === 'folder' && (await files.list(path)).length > 0) yield { kind: 'empty', path }
    }
  }
}
