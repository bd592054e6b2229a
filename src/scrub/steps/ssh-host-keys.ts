import { removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

export const sshHostKeys: ScrubStep = {
  id: 'ssh-host-keys',
  about: 'the keys of the SSH server; they have to be made anew at the next start',
  generalizes: true,
  changes: (files) => removing(files, ['/etc/ssh/ssh_host_*', '/etc/dropbear/dropbear_*_host_key'])
}
