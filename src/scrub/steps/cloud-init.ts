import { removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

/** As `cloud-init clean --seed --configs network` would; scripts that were put there for every instance stay. */
export const cloudInit: ScrubStep = {
  id: 'cloud-init',
  about: 'what cloud-init knows of this instance: its metadata, user data, and the network it has set up',
  generalizes: true,
  changes: (files) =>
    removing(files, [
      '/var/lib/cloud/instance',
      '/var/lib/cloud/instances/*',
      '/var/lib/cloud/data/*',
      '/var/lib/cloud/sem/*',
      '/var/lib/cloud/seed/*',
      '/etc/netplan/50-cloud-init.yaml',
      '/etc/network/interfaces.d/50-cloud-init*'
    ])
}
