import { missingPackages, PEERS, type PeerName } from './servers/registry.ts'

// For scripts/test: what to install for the real servers of the tests, one line of packages a server.
const lines = (Object.keys(PEERS) as PeerName[]).map((peer) => missingPackages(peer).join(' '))
console.log([...new Set(lines)].filter((line) => line !== '').join('\n'))
