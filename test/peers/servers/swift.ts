import { copyFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Keystone } from '../keystone.ts'
import type { Swift, SwiftOptions } from '../swift.ts'
import { catalogue } from './keystone.ts'
import { freePorts, type Processes, root } from './processes.ts'
import type { Others } from './registry.ts'
import { keystoneProxy, proxyConfig, storageConfig, swiftConf, tempauthProxy } from './swift-config.ts'

export const NEEDS = {
  '/usr/bin/swift-proxy-server': 'swift-proxy',
  '/usr/bin/swift-account-server': 'swift-account',
  '/usr/bin/swift-container-server': 'swift-container',
  '/usr/bin/swift-object-server': 'swift-object',
  '/usr/bin/memcached': 'memcached'
}
export const KEYSTONE_NEEDS = {
  '/usr/lib/python3/dist-packages/keystonemiddleware/__init__.py': 'python3-keystonemiddleware'
}

const DAEMON = 'swiftd.py'
const RINGS = 'swift-rings.py'
const USER = 'swift'

/** Swift's user may not enter every folder that the project is cloned into, so the scripts go where Swift is. */
async function bringScripts(etc: string): Promise<void> {
  for (const name of [DAEMON, RINGS]) await copyFile(join(import.meta.dirname, name), join(etc, name))
}

/** Where a Swift keeps what a second proxy of it needs. */
type Inner = Swift & { readonly etc: string; readonly memcachedPort: number }

/** One replica on one device, a folder of a file system with user xattrs. TempAuth keeps its tokens in memcached. */
export async function startSwift(processes: Processes, options: SwiftOptions): Promise<Inner> {
  const { folder } = processes
  const proxy = await freePorts(5)
  const [object, container, account, memcachedPort] = [proxy + 1, proxy + 2, proxy + 3, proxy + 4]
  const etc = join(folder, 'etc')
  await processes.run({ argv: ['mkdir', '-p', etc, 'srv/sdb1', 'cache'] })
  const place = { folder, etc, user: root ? USER : userInfo().username }
  const write = (name: string, text: string) => writeFile(join(etc, name), text)
  await write('swift.conf', swiftConf(options.maxFileSize ?? 5 * 1024 ** 3 + 2))
  await write('object-server.conf', storageConfig('object', object, place))
  await write('container-server.conf', storageConfig('container', container, place))
  await write('account-server.conf', storageConfig('account', account, place))
  await write('proxy-server.conf', proxyConfig(proxy, memcachedPort, place, tempauthProxy))
  await bringScripts(etc)
  await processes.own(USER)
  const rings = [join(etc, RINGS), etc, join(folder, 'srv'), `${object}`, `${container}`, `${account}`]
  await processes.run({ argv: ['/usr/bin/python3', ...rings], user: USER })

  const memcached = ['-l', '127.0.0.1', '-p', `${memcachedPort}`, '-U', '0', '-m', '16', '-c', '512'] as const
  await processes.serve('memcached', { argv: ['memcached', ...memcached], user: USER }, [memcachedPort])
  const servers = ['account-server', 'container-server', 'object-server', 'proxy-server']
  const argv: [string, ...string[]] = ['/usr/bin/python3', join(etc, DAEMON), etc, ...servers]
  await processes.serve('swift', { argv, user: USER }, [object, container, account, proxy])
  await processes.until('swift', () => healthy(proxy))
  return {
    authUrl: `http://127.0.0.1:${proxy}/auth/v1.0`,
    storageHost: `127.0.0.1:${proxy}`,
    s3: { endpoint: `http://127.0.0.1:${proxy}`, accessKeyId: 'test:tester', secretAccessKey: 'testing' },
    etc,
    memcachedPort
  }
}

/** A second proxy on the storage of the Swift with these options, and its place in Keystone's catalogue. */
export async function startOnKeystone(processes: Processes, options: SwiftOptions, others: Others): Promise<object> {
  const [swift, keystone] = await Promise.all([
    others('swift', options) as Promise<Inner>,
    others('keystone') as Promise<Keystone>
  ])
  const port = await freePorts(1)
  const place = { folder: processes.folder, etc: swift.etc, user: root ? USER : userInfo().username }
  const conf = join(processes.folder, 'proxy.conf')
  await writeFile(conf, proxyConfig(port, swift.memcachedPort, place, keystoneProxy(keystone, swift.memcachedPort)))
  const argv: [string, ...string[]] = ['/usr/bin/python3', join(swift.etc, DAEMON), swift.etc, `proxy-server:${conf}`]
  await processes.serve('swift', { argv, user: USER }, [port])
  await processes.until('swift', () => healthy(port))
  // A Swift with small objects is for those who name its host: the catalogue has one object store.
  if (options.maxFileSize === undefined) await catalogue(keystone, `http://127.0.0.1:${port}/v1/AUTH_%(project_id)s`)
  return { ...swift, keystoneStorageHost: `127.0.0.1:${port}`, keystoneS3Endpoint: `http://127.0.0.1:${port}` }
}

const healthy = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/healthcheck`).then(
    (answer) => answer.ok,
    () => false
  )
