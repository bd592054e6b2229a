import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MiB } from '../../../src/domain/bytes.ts'
import { JailTimeout } from '../../../src/jail/jail.ts'
import { openJail } from '../../../src/jail/open-jail.ts'
import { type OperatorStep, operatorStepsIn, runOperatorSteps } from '../../../src/scrub/custom/operator-steps.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { diskAt } from './guest-disk.ts'
import { servedBytes } from './nbd-clients.ts'
import { describeWithTools } from './tools.ts'

const SUBJECT = {
  taskId: 'task-1',
  imageId: 'image-1',
  format: 'qcow2',
  guest: { kind: 'linux', name: 'Planted' }
} as const
const NEVER = new AbortController().signal

describeWithTools(['bwrap', 'prlimit', 'nbdcopy', 'qemu-io'], "an operator's step", () => {
  it('reads its subject and the disk, and its changes and report are there afterwards', async () => {
    await using place = await scratch()
    const step = await place.step(
      '10-stamp.sh',
      `input=$(cat)
       uri=nbd+unix:///?socket=$(printf %s "$input" | sed 's/.*"socket":"\\([^"]*\\)".*/\\1/')
       nbdcopy "$uri" copy
       test "$(head -c 4 copy)" = seen || exit 3
       printf %s "$input" | grep -q '"taskId":"task-1","imageId":"image-1","format":"qcow2"' || exit 4
       qemu-io -f raw -c 'write -P 0x41 4k 512' "$uri" >/dev/null
       printf '%s' '{"files": 3, "note": "stamped\\nwith\\u0007 care"}'`
    )
    const disk = servedBytes(Buffer.alloc(MiB))
    disk.bytes.write('seen')

    const reports = await runOperatorSteps(disk, [step], SUBJECT, await place.uses(), NEVER)

    expect(reports).toEqual([{ id: '10-stamp', exitCode: 0, files: 3, note: 'stamped with care' }])
    expect(place.begun).toEqual(['10-stamp'])
    expect(disk.bytes.subarray(4096, 4608).equals(Buffer.alloc(512, 0x41))).toBe(true)
  })

  it('refuses an image with code 10, for its reason', async () => {
    await using place = await scratch()
    const step = await place.step('scan.sh', `echo '{"note": "it holds a virus"}'; exit 10`)

    const run = runOperatorSteps(servedBytes(Buffer.alloc(MiB)), [step], SUBJECT, await place.uses(), NEVER)

    await expect(run).rejects.toMatchObject({
      code: 'SCRUB_STEP_REFUSED',
      permanent: true,
      message: expect.stringContaining('scan lets this image not out: it holds a virus.')
    })
  })

  it.each([
    ['another code', 'exit 1'],
    ['a signal', 'kill -9 $$'],
    ['words that are no report', 'echo scanned everything'],
    ['a report that is none', 'echo \'{"files": "many"}\''],
    ['half of a report that is too long', 'head -c 200000 /dev/zero | tr "\\0" "["']
  ])('has failed with %s', async (_name, script) => {
    await using place = await scratch()
    const step = await place.step('broken.sh', script)

    const run = runOperatorSteps(servedBytes(Buffer.alloc(MiB)), [step], SUBJECT, await place.uses(), NEVER)

    await expect(run).rejects.toMatchObject({ code: 'SCRUB_STEP_FAILED', permanent: false, actor: 'operator' })
  })

  it('has neither network nor files of the machine', async () => {
    await using place = await scratch()
    await writeFile(place.at('outside'), 'secret')
    const step = await place.step(
      'nosy.sh',
      `cat ${place.at('outside')} 2>/dev/null && exit 10
       ls /home /root /etc/passwd 2>/dev/null | grep . && exit 10
       test "$(cat /sys/class/net/*/operstate 2>/dev/null | grep -c up)" = 0 || exit 10
       echo '{}'`
    )

    const reports = await runOperatorSteps(servedBytes(Buffer.alloc(MiB)), [step], SUBJECT, await place.uses(), NEVER)

    expect(reports).toEqual([{ id: 'nosy', exitCode: 0 }])
  })

  it('is told of by the error of the disk where that is why it failed', async () => {
    await using place = await scratch()
    const step = await place.step('reads.sh', 'nbdcopy "nbd+unix:///?socket=$(ls /tmp/step-*/nbd)" copy 2>/dev/null')
    const broken = Object.assign(servedBytes(Buffer.alloc(MiB)), {
      read: () => Promise.reject(new Error('the store is away'))
    })

    await expect(runOperatorSteps(broken, [step], SUBJECT, await place.uses(), NEVER)).rejects.toThrow(
      'the store is away'
    )
  })
})

describeWithTools(['bwrap', 'nbdcopy', 'sfdisk', 'debugfs', 'jq', 'mke2fs'], 'the example of a step', () => {
  const EXAMPLE = { id: 'scan-files', path: join(import.meta.dirname, '../../../examples/scrub-step/scan-files.sh') }

  it.each([
    ['lets an image out that holds no key', 'nothing to see', { files: 2, note: 'nothing found' }],
    ['refuses one that does', '-----BEGIN RSA PRIVATE KEY-----', 'SCRUB_STEP_REFUSED']
  ])('%s', async (_name, content, expected) => {
    await using place = await scratch()
    await mkdir(place.at('content'))
    await writeFile(place.at('content/file'), content.repeat(20_000))
    await writeFile(place.at('content/odd\n"name"'), 'x'.repeat(400_000))
    await makeDiskImage({ path: place.at('disk.raw'), sizeMiB: 64, contentMiB: 4, sources: [place.at('content')] })
    await using disk = await diskAt(place.at('disk.raw'))
    const served = { ...servedBytes(Buffer.alloc(0)), virtualSize: disk.virtualSize, read: disk.read.bind(disk) }

    const run = runOperatorSteps(served, [EXAMPLE], SUBJECT, await place.uses(), NEVER)

    if (typeof expected === 'string') await expect(run).rejects.toMatchObject({ code: expected })
    else expect(await run).toEqual([{ id: 'scan-files', exitCode: 0, ...expected }])
  })
})

describe("operators' steps", () => {
  it('are the executables of a folder, by their names, which links may have', async () => {
    await using place = await scratch()
    const second = await place.step('20-b.py', 'true')
    const first = await place.step('10-a', 'true')
    await place.step('.hidden', 'true')
    await place.step('30-c.sh~', 'true')
    await writeFile(place.at('steps/README'), 'no step')
    await symlink(second.path, place.at('steps/40-d'))

    expect(await operatorStepsIn(place.at('steps'))).toEqual([first, second, { id: '40-d', path: second.path }])
  })

  it('have failed when they take too long, and leave no folder of theirs', async () => {
    await using place = await scratch()
    const before = await stepFolders()
    const uses = {
      ...(await place.folders()),
      jail: () => Promise.reject(new JailTimeout('slow', 1000)),
      wallMs: 1000
    }

    const run = runOperatorSteps(servedBytes(Buffer.alloc(MiB)), [{ id: 'slow', path: '/x' }], SUBJECT, uses, NEVER)

    await expect(run).rejects.toMatchObject({ code: 'SCRUB_STEP_FAILED', message: expect.stringContaining('too long') })
    expect(await stepFolders()).toEqual(before)
  })
})

const stepFolders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('step-'))

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'steps-'))
  const at = (name: string) => join(path, name)
  const begun: string[] = []
  const folders = async () => ({
    folder: async (name: string) => {
      await mkdir(at(name), { recursive: true })
      return at(name)
    },
    begin: (id: string) => {
      begun.push(id)
    }
  })
  return {
    at,
    begun,
    folders,
    uses: async () => ({ ...(await folders()), jail: await openJail('strict'), wallMs: 30_000 }),
    async step(name: string, script: string): Promise<OperatorStep> {
      const file = at(`steps/${name}`)
      await mkdir(at('steps'), { recursive: true })
      await writeFile(file, `#!/bin/sh\n${script}\n`)
      await chmod(file, 0o755)
      return { id: name.replace(/\.\w+$/, ''), path: file }
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true })
  }
}
