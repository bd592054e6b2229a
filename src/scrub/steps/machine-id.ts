import type { ScrubStep } from '../scrub-step.ts'

/** systemd makes a new one when the file is empty, D-Bus when its own is not there. */
export const machineId: ScrubStep = {
  id: 'machine-id',
  about: 'the id by which a machine is told from others',
  generalizes: true,
  async *changes(files) {
    const id = await files.stat('/etc/machine-id')
    if (id?.kind === 'file' && id.bytes > 0) yield { kind: 'empty', path: '/etc/machine-id' }
    const ofDbus = '/var/lib/dbus/machine-id'
    if ((await files.stat(ofDbus))?.kind === 'file') yield { kind: 'remove', path: ofDbus }
  }
}
