import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../../src/domain/bytes.ts'
import { type JailLimits, JailTimeout, type RunJailed } from '../../../src/jail/jail.ts'
import { openJail } from '../../../src/jail/open-jail.ts'
import { runChild } from '../../../src/jail/run-child.ts'
import { describeWithTools } from '../scrub/tools.ts'

const LIMITS: JailLimits = {
  memoryBytes: 512 * MiB,
  cpuSeconds: 10,
  fileBytes: MiB,
  processes: 16,
  wallMs: 20_000,
  outputBytes: 64 * KiB
}
const signal = AbortSignal.timeout(120_000)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jail-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** What a shell's script says in a jail. */
async function shell(jail: RunJailed, script: string, limits: Partial<JailLimits> = {}) {
  const run = { command: 'sh', args: ['-c', script], work: folder, limits: { ...LIMITS, ...limits } }
  const { exitCode, stdout, stderr } = await jail(run, signal)
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() }
}

/** Whether a process with this text in its command line is alive. */
async function alive(text: string): Promise<boolean> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
    if (line.includes(text)) return true
  }
  return false
}

async function gone(text: string): Promise<boolean> {
  for (let tries = 0; tries < 100; tries += 1) {
    if (!(await alive(text))) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return false
}

/** Starts a program that would run for an hour, and gives a text to know it by. */
function forAnHour(jail: RunJailed, stop: AbortSignal, limits: Partial<JailLimits> = {}) {
  const seconds = `3600.${Math.random().toString().slice(2)}`
  const script = `trap "" TERM; sleep ${seconds} & sleep ${seconds}; wait`
  const run = { command: 'sh', args: ['-c', script], work: folder, limits: { ...LIMITS, ...limits } }
  return { seconds, ended: jail(run, stop) }
}

async function started(text: string): Promise<void> {
  while (!(await alive(text))) await new Promise((resolve) => setTimeout(resolve, 20))
}

describeWithTools(['bwrap', 'prlimit'], 'a strict jail', () => {
  it('shows nothing of this machine but programs, and the folder of the work', async () => {
    const jail = await openJail('strict')
    await writeFile(join(folder, 'mine'), 'of the work')

    const { stdout } = await shell(jail, 'cat mine; ls -A /; ls -A /etc; ls -A /tmp; env')

    expect(stdout).toContain('of the work')
    const words = stdout.split(/\s+/)
    for (const outside of ['home', 'root', 'proc', 'var', 'passwd', 'shadow']) expect(words).not.toContain(outside)
    expect(words.filter((word) => word.includes('='))).toEqual(
      expect.not.arrayContaining([expect.stringMatching(/^(HOME|USER|DATABASE_URL)=/)])
    )
  })

  it('writes into the folder of the work and nowhere else', async () => {
    const jail = await openJail('strict')

    const { stdout } = await shell(jail, 'echo done > result; touch /usr/x /x 2>/dev/null || echo refused')

    expect(stdout.trim()).toBe('refused')
    expect(await readFile(join(folder, 'result'), 'utf8')).toBe('done\n')
  })

  it('is nobody, without a capability, and cannot become more', async () => {
    const jail = await openJail('strict')

    const script = 'id -u; id -g; setpriv --dump | grep -i capabilit; unshare --user true 2>&1 || echo no namespace'
    const { stdout } = await shell(jail, script)

    const lines = stdout.trim().split('\n')
    expect(lines.slice(0, 2)).toEqual(['65534', '65534'])
    expect(lines.at(-1)).toBe('no namespace')
    expect(stdout).toMatch(
      /^Inheritable capabilities: \[none\]\nAmbient capabilities: \[none\]\nCapability bounding set: \[none\]$/m
    )
  })

  it('reaches no server of this machine', async () => {
    const jail = await openJail('strict')
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0

    const { exitCode, stderr } = await shell(jail, `exec bash -c "exec 3<>/dev/tcp/127.0.0.1/${port}"`)

    server.close()
    expect(exitCode).not.toBe(0)
    expect(stderr).toMatch(/refused|unreachable/i)
  })

  it('reads what it was told of, at its own place, and cannot change it', async () => {
    const jail = await openJail('strict')
    const tools = join(folder, 'tools')
    const work = join(folder, 'work')
    await mkdir(tools)
    await mkdir(work)
    await writeFile(join(tools, 'rules'), 'some rules')
    const script = `cat ${tools}/rules; (echo x > ${tools}/rules) || echo ' refused'`

    const { stdout } = await jail(
      { command: 'sh', args: ['-c', script], work, readable: [tools], limits: LIMITS },
      signal
    )

    expect(stdout.toString()).toBe('some rules refused\n')
    expect(await readFile(join(tools, 'rules'), 'utf8')).toBe('some rules')
  })
})

describeWithTools(['bwrap', 'prlimit'], 'a place without namespaces', () => {
  it('gives no strict jail, and says what the operator can do', async () => {
    const module = join(import.meta.dirname, '../../../src/jail/open-jail.ts')
    const code = `import('${module}').then((jail) => jail.openJail('strict')).catch((error) => console.log(error.name, error.message))`

    const jail = await openJail('strict')
    const { stdout } = await jail(
      {
        command: process.execPath,
        args: ['-e', code],
        work: folder,
        readable: [join(import.meta.dirname, '../../../src'), process.execPath],
        limits: { ...LIMITS, memoryBytes: 2 ** 46, processes: 500 }
      },
      signal
    )

    expect(stdout.toString()).toMatch(/^JailUnavailable .*bwrap.*install bubblewrap.*JAIL=off/)
  })
})

describe.each(['strict', 'off'] as const)('limits of a jail that is %s', (mode) => {
  describeWithTools(mode === 'strict' ? ['bwrap', 'prlimit'] : ['setpriv', 'prlimit'], 'hold', () => {
    it('gives what a program was given on stdin, and its exit code', async () => {
      const jail = await openJail(mode)
      const args = ['-c', 'cat; echo "to stderr" >&2; exit 7']

      const result = await jail({ command: 'sh', args, stdin: 'in and out', work: folder, limits: LIMITS }, signal)

      expect({ ...result, stdout: `${result.stdout}`, stderr: `${result.stderr}` }).toEqual({
        exitCode: 7,
        stdout: 'in and out',
        stderr: 'to stderr\n'
      })
    })

    it('survives a program that does not read its input', async () => {
      const jail = await openJail(mode)

      const { exitCode } = await jail(
        { command: 'true', args: [], stdin: Buffer.alloc(4 * MiB), work: folder, limits: LIMITS },
        signal
      )

      expect(exitCode).toBe(0)
    })

    it('keeps the first of the output and drops the rest', async () => {
      const { exitCode, stdout } = await shell(await openJail(mode), 'yes | head -c 3000000', { outputBytes: 1000 })

      expect([exitCode, stdout.length]).toEqual([0, 1000])
    })

    it.each([
      ['a file', { fileBytes: 64 * KiB }, 'head -c 1000000 /dev/zero > big', 128 + 25],
      ['time of the CPU', { cpuSeconds: 1 }, 'while :; do :; done', 128 + 9],
      ['memory', { memoryBytes: 64 * MiB }, `exec perl -e '$x = "a" x 300000000'`, 12]
    ])('of %s', async (_what, limits, script, expected) => {
      const { exitCode } = await shell(await openJail(mode), `(${script})`, limits)

      expect(exitCode).toBe(expected)
    })

    it('of time end all that was started', async () => {
      const jail = await openJail(mode)
      const { seconds, ended } = forAnHour(jail, signal, { wallMs: 300 })

      await expect(ended).rejects.toThrow(JailTimeout)

      expect(await gone(seconds)).toBe(true)
    })

    it('of whoever asks end all that was started, with the reason', async () => {
      const jail = await openJail(mode)
      const control = new AbortController()
      const { seconds, ended } = forAnHour(jail, control.signal)
      await Promise.race([started(seconds), ended])

      control.abort(new Error('no longer wanted'))

      await expect(ended).rejects.toThrow('no longer wanted')
      expect(await gone(seconds)).toBe(true)
    })
  })
})

describeWithTools(['bwrap', 'prlimit'], 'a strict jail that is being set up', () => {
  it('can be ended at any moment', async () => {
    const jail = await openJail('strict')
    const runs = Array.from({ length: 24 }, (_, index) => {
      const control = new AbortController()
      setTimeout(() => control.abort(new Error('no longer wanted')), index * 2)
      const { seconds, ended } = forAnHour(jail, control.signal)
      return { seconds, reason: ended.catch((error: unknown) => Object(error).message) }
    })

    for (const { reason } of runs) expect(await reason).toBe('no longer wanted')
    for (const { seconds } of runs) expect(await gone(seconds)).toBe(true)
  }, 30_000)
})

describe('a jail that cannot be', () => {
  it('says why a program could not be started', async () => {
    const run = { command: 'none', args: [], work: folder, limits: LIMITS }

    await expect(runChild([join(folder, 'no-such-program')], run, signal)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('starts nothing for whoever has stopped asking', async () => {
    const jail = await openJail('off')
    const args = ['-c', 'touch started']

    const run = jail({ command: 'sh', args, work: folder, limits: LIMITS }, AbortSignal.abort(new Error('too late')))

    await expect(run).rejects.toThrow('too late')
    await expect(access(join(folder, 'started'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
