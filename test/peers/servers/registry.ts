import { existsSync } from 'node:fs'
import * as keystone from './keystone.ts'
import * as nginx from './nginx.ts'
import type { Processes } from './processes.ts'
import * as radosgw from './radosgw.ts'
import * as rclone from './rclone.ts'
import * as sshd from './sshd.ts'
import * as swift from './swift.ts'

export type PeerName = 'swift' | 'swift-keystone' | 'keystone' | 'radosgw' | 'nginx' | 'sshd' | 'rclone'

/** Other servers that a server needs. */
export type Others = (name: PeerName, options?: object) => Promise<object>

type Peer = {
  /** Files that have to be there, and the Debian packages that bring them. */
  readonly needs: Readonly<Record<string, string>>
  start(processes: Processes, options: object, others: Others): Promise<object>
}

export const PEERS: Readonly<Record<PeerName, Peer>> = {
  swift: { needs: swift.NEEDS, start: swift.startSwift },
  'swift-keystone': {
    needs: { ...swift.NEEDS, ...swift.KEYSTONE_NEEDS, ...keystone.NEEDS },
    start: swift.startOnKeystone
  },
  keystone: { needs: keystone.NEEDS, start: keystone.startKeystone },
  radosgw: { needs: radosgw.NEEDS, start: radosgw.startRadosgw },
  nginx: { needs: nginx.NEEDS, start: nginx.startNginx },
  sshd: { needs: sshd.NEEDS, start: sshd.startSshd },
  rclone: { needs: rclone.NEEDS, start: rclone.startRclone }
}

/** Why servers cannot be had here, by their names. */
export function missingPeers(): Partial<Record<PeerName, string>> {
  const reasons: Partial<Record<PeerName, string>> = {}
  for (const name of Object.keys(PEERS) as PeerName[]) {
    const packages = missingPackages(name)
    if (packages.length > 0) reasons[name] = `not installed: ${packages.join(', ')}`
  }
  return reasons
}

/** Debian's names for what `peer` needs and this machine does not have. */
export const missingPackages = (peer: PeerName): string[] =>
  Object.entries(PEERS[peer].needs)
    .filter(([file]) => !existsSync(file))
    .map(([, debian]) => debian)
