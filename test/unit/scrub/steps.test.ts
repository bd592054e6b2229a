import { describe, expect, it } from 'vitest'
import type { GuestChange } from '../../../src/scrub/guest.ts'
import { scrubSteps } from '../../../src/scrub/registry.ts'
import type { StepSettings } from '../../../src/scrub/scrub-step.ts'
import { MemoryGuest } from '../../support/memory-guest.ts'

const SETTINGS: StepSettings = { providerPaths: [], firstBootScript: undefined }

/** Makes one step and gives what it has changed. */
async function make(id: string, guest: MemoryGuest, settings: Partial<StepSettings> = {}): Promise<GuestChange[]> {
  const step = scrubSteps().find((one) => one.id === id)
  if (!step) throw new Error(`there is no step ${id}`)
  const changes: GuestChange[] = []
  for await (const change of step.changes(guest, { ...SETTINGS, ...settings })) {
    guest.apply(change)
    changes.push(change)
  }
  return changes
}

const SECRET = 'MARK-secret'
const PASSWD = 'root:x:0:0:root:/root:/bin/bash\nweb:x:33:33::/srv/web:/bin/sh\nbad:x:1:1::/srv/../etc:/bin/sh\n'

/** What goes, what stays though it is beside it, and how many changes that are. */
const CASES: Record<string, { gone: string[]; empty?: string[]; kept: string[] }> = {
  'machine-id': { gone: ['/var/lib/dbus/machine-id'], empty: ['/etc/machine-id'], kept: ['/etc/hostname'] },
  'ssh-host-keys': {
    gone: ['/etc/ssh/ssh_host_rsa_key', '/etc/ssh/ssh_host_rsa_key.pub', '/etc/dropbear/dropbear_rsa_host_key'],
    kept: ['/etc/ssh/sshd_config', '/etc/ssh/moduli']
  },
  'ssh-user-keys': {
    gone: ['/root/.ssh/id_ed25519', '/home/debian/.ssh/authorized_keys', '/srv/web/.ssh/known_hosts'],
    kept: ['/root/.sshrc', '/srv/other/.ssh/id_rsa']
  },
  logs: {
    gone: [
      '/var/log/syslog.1',
      '/var/log/syslog.2.gz',
      '/var/log/dnf.log-20260101',
      '/var/log/journal/5ca1ab1e/system.journal'
    ],
    empty: ['/var/log/syslog', '/var/log/wtmp', '/var/log/apt/history.log'],
    kept: ['/var/lib/logrotate/status', '/etc/rsyslog.conf']
  },
  histories: {
    gone: [
      ...['.bash_history', '.psql_history', '.mysql_history', '.lesshst', '.viminfo', '.python_history'].map(
        (name) => `/root/${name}`
      ),
      '/home/debian/.sh_history',
      '/home/debian/.zsh_history',
      '/srv/web/.ash_history',
      '/root/.local/share/nano/search_history'
    ],
    kept: ['/root/.bashrc', '/home/debian/history', '/root/.local/share/nano/keep']
  },
  'cloud-init': {
    gone: [
      '/var/lib/cloud/instances/i-1/user-data.txt',
      '/var/lib/cloud/data/instance-id',
      '/var/lib/cloud/seed/nocloud/user-data',
      '/etc/netplan/50-cloud-init.yaml'
    ],
    kept: ['/var/lib/cloud/scripts/per-boot/keep', '/etc/cloud/cloud.cfg', '/etc/netplan/01-own.yaml']
  },
  'cloud-credentials': {
    gone: [
      '/root/.aws/credentials',
      '/home/debian/.config/gcloud/credentials.db',
      '/srv/web/.azure/azureProfile.json',
      '/root/.kube/config'
    ],
    kept: ['/home/debian/.config/nvim/init.lua', '/root/aws/notes']
  },
  'net-leases': {
    gone: [
      '/etc/udev/rules.d/70-persistent-net.rules',
      '/var/lib/dhcp/dhclient.eth0.leases',
      '/var/lib/NetworkManager/secret_key'
    ],
    kept: ['/etc/udev/rules.d/99-own.rules', '/var/lib/dhcpd.conf']
  },
  'package-caches': {
    gone: [
      '/var/cache/apt/archives/curl_1_amd64.deb',
      '/var/cache/apt/archives/partial/half.deb',
      '/var/cache/apt/pkgcache.bin',
      '/var/lib/apt/lists/deb.example_Packages',
      '/var/cache/dnf/repo/solv',
      '/root/.cache/pip/http/1'
    ],
    kept: ['/var/lib/dpkg/status', '/root/.cache/thumbnails/1', '/var/cache/debconf/config.dat']
  },
  'temporary-files': {
    gone: ['/tmp/session', '/tmp/.hidden/x', '/var/tmp/x', '/var/crash/app.crash', '/var/lib/systemd/coredump/core.1'],
    kept: ['/var/lib/app/tmp', '/srv/tmp/x']
  },
  'random-seed': {
    gone: ['/var/lib/systemd/random-seed', '/var/lib/urandom/random-seed'],
    kept: ['/var/lib/systemd/x']
  },
  'mail-spools': {
    gone: ['/var/mail/root', '/var/spool/exim4/input/1-D', '/var/spool/postfix/deferred/A/A1'],
    kept: ['/var/spool/postfix/pid/master.pid', '/etc/aliases']
  },
  'cron-spools': { gone: ['/var/spool/cron/crontabs/root', '/var/spool/at/a1'], kept: ['/etc/cron.d/own'] }
}

describe('every step', () => {
  it.each(Object.entries(CASES))(
    '%s takes what is its own and nothing else',
    async (id, { gone, empty = [], kept }) => {
      const files = Object.fromEntries([...gone, ...empty, ...kept].map((path) => [path, `${SECRET} ${path}`]))
      const guest = new MemoryGuest({ '/etc/passwd': PASSWD, '/home/debian/': '', ...files })

      const changes = await make(id, guest)

      expect([...gone].filter((path) => guest.nodes.has(path))).toEqual([])
      expect(empty.map((path) => [path, guest.nodes.get(path)?.bytes.length])).toEqual(empty.map((path) => [path, 0]))
      expect(kept.map((path) => guest.nodes.get(path)?.bytes.toString())).toEqual(kept.map((path) => files[path]))
      expect(changes.length).toBeGreaterThan(0)
      expect(await make(id, guest), 'a second time').toEqual([])
    }
  )

  it.each(scrubSteps().map(({ id }) => id))('%s does nothing to a guest that has nothing of the kind', async (id) => {
    expect(await make(id, new MemoryGuest({ '/etc/hostname': 'web', '/var/log/': '', '/tmp/': '' }))).toEqual([])
  })

  it('is there once, with a name and a purpose', () => {
    const ids = scrubSteps().map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(scrubSteps().filter(({ id, about }) => !/^[a-z-]+$/.test(id) || about.length < 10)).toEqual([])
    const others = ['swap-files', 'provider-paths', 'lock-passwords', 'first-boot']
    expect([...Object.keys(CASES), ...others].sort()).toEqual([...ids].sort())
  })
})

describe('steps', () => {
  it('keep the folders that daemons need, and what a link points at', async () => {
    const guest = new MemoryGuest({
      '/var/log/nginx/access.log': SECRET,
      '/var/log/journal/5ca1ab1e/x': SECRET,
      '/var/log/evil': '-> /etc/passwd',
      '/etc/passwd': PASSWD,
      '/tmp/evil': '-> /srv',
      '/srv/data': 'kept'
    })

    await make('logs', guest)
    await make('temporary-files', guest)

    expect([...guest.nodes.keys()]).toEqual(
      expect.arrayContaining(['/var/log/nginx', '/var/log/journal', '/var/log/evil', '/tmp', '/srv/data'])
    )
    expect(guest.nodes.get('/etc/passwd')?.bytes.toString()).toBe(PASSWD)
    expect(guest.everything).not.toContain(SECRET)
    expect(guest.everything).not.toContain('5ca1ab1e')
  })

  it('take names as they are, whatever is in them', async () => {
    const names = ['a\nb', 'quo"te', "it's", '$(id)', '<2>', 'a b', '*', '\xff\xfe']
    const guest = new MemoryGuest(Object.fromEntries(names.map((name) => [`/var/log/${name}.gz`, SECRET])))

    const changes = await make('logs', guest)

    expect(changes.map(({ path }) => path).sort()).toEqual(names.map((name) => `/var/log/${name}.gz`).sort())
  })

  it('remove the paths that the operator lists, with stars in their names', async () => {
    const guest = new MemoryGuest({
      '/opt/agent-2/bin/x': SECRET,
      '/opt/app/x': 'kept',
      '/etc/apt/s.d/ours.list': SECRET
    })

    await make('provider-paths', guest, { providerPaths: ['/opt/agent*', '/etc/apt/*/ours.list', '/nowhere/*/x'] })

    expect(guest.everything).not.toContain(SECRET)
    expect(guest.nodes.has('/opt/app/x')).toBe(true)
  })
})

describe('files of swap', () => {
  const swap = (mark: string, pageBytes = 4096) => {
    const bytes = Buffer.alloc(4 * pageBytes, `${SECRET} `)
    bytes.fill(0, 0, pageBytes)
    bytes.write(mark, pageBytes - 10)
    return bytes
  }

  it('keep their length and their first page, wherever they are; others of such names are left alone', async () => {
    const files = {
      '/swapfile': swap('SWAPSPACE2'),
      '/var/swap.1': swap('SWAPSPACE2', 65_536),
      '/data/memory here': swap('SWAPSPACE2')
    }
    const guest = new MemoryGuest({
      ...files,
      '/swap.md': 'how to swap',
      '/swap.bin': Buffer.alloc(20_000, 'no area '),
      '/etc/fstab': '/data/memory\\040here none swap sw 0 0\n/dev/sda2 none swap sw 0 0\n/swap.md / ext4 defaults 0 1\n'
    })

    await make('swap-files', guest)

    expect(guest.everything).not.toContain(SECRET)
    for (const [path, before] of Object.entries(files)) {
      const after = guest.nodes.get(path)?.bytes
      const pageBytes = before.length / 4
      expect(after?.length).toBe(before.length)
      expect(after?.subarray(0, pageBytes).equals(before.subarray(0, pageBytes))).toBe(true)
    }
    expect(guest.nodes.get('/swap.bin')?.bytes.toString()).toContain('no area')
    expect(guest.nodes.get('/swap.md')?.bytes.toString()).toBe('how to swap')
  })

  it('are a reason not to change a guest that is suspended into one', async () => {
    const guest = new MemoryGuest({ '/swapfile': swap('S1SUSPEND\0') })

    await expect(make('swap-files', guest)).rejects.toMatchObject({ name: 'Refused', rule: 'hibernated' })
  })
})

describe('locking passwords', () => {
  it('leaves every other byte as it is', async () => {
    const before =
      'root:$6$salt$HASH:19000:0:99999:7:::\nd\xe4mon:*:1:::::\nold:!$6$s$HASH2:1:::::\nopen::1:::::\nnone:!!:1:::::\n'
    const after = 'root:!:19000:0:99999:7:::\nd\xe4mon:*:1:::::\nold:!:1:::::\nopen:!:1:::::\nnone:!!:1:::::\n'
    const guest = new MemoryGuest({
      '/etc/shadow': Buffer.from(before, 'latin1'),
      '/etc/shadow-': Buffer.from(before, 'latin1'),
      '/etc/gshadow': 'sudo:$6$x$HASH:root:debian\n',
      '/etc/security/opasswd': 'HASH'
    })

    await make('lock-passwords', guest)

    expect(guest.nodes.get('/etc/shadow')?.bytes.toString('latin1')).toBe(after)
    expect(guest.nodes.get('/etc/shadow')?.mode).toBe(0o640)
    expect(guest.nodes.get('/etc/gshadow')?.bytes.toString()).toBe('sudo:!:root:debian\n')
    expect(guest.everything).not.toContain('HASH')
    expect(await make('lock-passwords', guest)).toEqual([])
  })
})

describe('the script for the first start', () => {
  const script = Buffer.from('#!/bin/sh\nssh-keygen -A\n')

  it('is put in with a unit that removes all of it', async () => {
    const guest = new MemoryGuest({ '/etc/systemd/system/': '', '/usr/lib/systemd/system-generators/': '' })

    const changes = await make('first-boot', guest, { firstBootScript: script })

    const paths = changes.map(({ path }) => path)
    const unit = guest.nodes.get('/etc/systemd/system/first-boot-script.service')?.bytes.toString() ?? ''
    expect(guest.nodes.get('/etc/first-boot-script')).toMatchObject({ bytes: script, mode: 0o700 })
    expect(unit).toContain(`ExecStartPost=/bin/rm -f ${paths.join(' ')}\n`)
    expect(changes.find(({ path }) => path.includes('generators'))).toMatchObject({ mode: 0o755 })
  })

  it('is not put where nothing would run it', async () => {
    expect(await make('first-boot', new MemoryGuest({ '/etc/rc.conf': '' }), { firstBootScript: script })).toEqual([])
  })
})
