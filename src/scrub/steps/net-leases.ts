import { emptying, removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

const RULES = ['/etc/udev/rules.d/70-persistent-net.rules', '/etc/udev/rules.d/70-persistent-cd.rules']
const LEASES = ['/var/lib/dhcp', '/var/lib/dhclient', '/var/lib/dhcpcd', '/var/lib/NetworkManager', '/var/lib/wicked']

export const netLeases: ScrubStep = {
  id: 'net-leases',
  about: "names that udev has tied to this machine's hardware, and addresses it was lent",
  generalizes: true,
  async *changes(files) {
    yield* removing(files, RULES)
    yield* emptying(files, LEASES)
  }
}
