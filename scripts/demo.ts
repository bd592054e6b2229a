import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { makeDiskImage } from '../test/support/disk-image.ts'
import { removeDataDir } from '../test/support/remove-data-dir.ts'
import { startReceiver } from './demo-receiver.ts'
import { mib, Screen } from './demo-screen.ts'
import { DemoFailed, DemoService, type DemoTask } from './demo-service.ts'

const EXPORT_LIMIT_MS = 120_000
const run = promisify(execFile)
const screen = new Screen(process.stdout)

type Shown = { readonly service: DemoService; readonly taskId: string; readonly request: ExportRequest }
type ExportRequest = { readonly image_uuid: string; readonly [field: string]: unknown }

/**
 * One export from end to end: a real disk, our service, a server that stands for the user's place, and qemu as the judge.
 * Whatever it starts or makes for itself goes onto `stack`.
 */
async function demo(stack: AsyncDisposableStack): Promise<Shown> {
  const startedAt = performance.now()
  const folder = join(import.meta.dirname, '../data/demo')
  await mkdir(folder, { recursive: true })
  const temporary = await mkdtemp(join(folder, 'run-'))
  stack.defer(() => rm(temporary, { recursive: true, force: true, maxRetries: 10 }))

  const dataDir = join(temporary, 'data')

  const disk = await screen.step(
    'disk image',
    () => makeDiskImage({ path: join(temporary, 'disk.raw'), sizeMiB: 256 }),
    ({ sizeBytes, files, contentBytes }) =>
      `${mib(sizeBytes)} raw, GPT, ext4 with ${files} files (${mib(contentBytes)})`
  )
  const service = await screen.step(
    'service',
    () => DemoService.start(dataDir, join(folder, 'service.log')),
    ({ url }) => `ready at ${url}, with its own PostgreSQL`
  )
  stack.defer(async () => {
    await service.stop()
    await removeDataDir(dataDir)
  })

  const image = await screen.step(
    'POST /v2/images',
    () =>
      service.call<{ id: string }>('POST', '/v2/images', {
        name: 'demo',
        disk_format: 'raw',
        container_format: 'bare'
      }),
    ({ id }) => `image ${id}`
  )
  await screen.step(
    'PUT ../file',
    () => service.uploadImage(image.id, disk.path),
    () => `${mib(disk.sizeBytes)} uploaded`
  )

  const receiver = await startReceiver(join(temporary, 'received'))
  stack.defer(() => receiver.close())
  const request = {
    task_type: 'export',
    image_uuid: image.id,
    export_to: receiver.url,
    export_format: 'qcow2',
    export_to_credentials: receiver.credentials
  }
  const created = await screen.step(
    'POST /v2/tasks',
    () => service.call<DemoTask>('POST', '/v2/tasks', request),
    ({ id }) => `task ${id}`
  )
  const task = await screen.step(
    'GET /v2/tasks/{id}',
    () => pollUntilDone(service, created.id),
    ({ result }) => `success: ${mib(result?.bytes ?? 0)} of qcow2 at the user's place`
  )

  const exported = join(folder, 'exported.qcow2')
  await rename(join(temporary, 'received', basename(task.export_location ?? '')), exported)
  const sha256 = await screen.step(
    'sha256',
    () => verifySha256(exported, task),
    (digest) => `${digest.slice(0, 16)}…, as the task says`
  )
  await screen.step(
    'qemu-img check',
    () => qemuImg('check', '-q', '-f', 'qcow2', exported),
    () => 'no errors'
  )
  await screen.step(
    'qemu-img compare',
    () => qemuImg('compare', '-q', '-f', 'raw', '-F', 'qcow2', disk.path, exported),
    () => 'the same disk, byte for byte'
  )

  const { size } = await stat(exported)
  screen.line()
  screen.line(`  file    ${relative(process.cwd(), exported)}`)
  screen.line(`  size    ${size} bytes (${mib(size)}; the disk: ${mib(disk.sizeBytes)})`)
  screen.line(`  sha256  ${sha256}`)
  screen.line(`  time    ${((performance.now() - startedAt) / 1000).toFixed(1)} s in all`)
  return { service, taskId: created.id, request }
}

async function pollUntilDone(service: DemoService, id: string): Promise<DemoTask> {
  for (const giveUpAt = Date.now() + EXPORT_LIMIT_MS; Date.now() < giveUpAt; await sleep(100)) {
    const task = await service.call<DemoTask>('GET', `/v2/tasks/${id}`)
    if (task.task_status === 'success') return task
    if (task.task_status === 'failure') throw new DemoFailed(`the export failed: ${task.message}`)
    screen.progress(task.task_status, task.progress?.percent ?? 0)
  }
  throw new DemoFailed(`the export did not end within ${EXPORT_LIMIT_MS / 1000} s`)
}

async function verifySha256(path: string, task: DemoTask): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  const digest = hash.digest('hex')
  const promised = task.result?.checksums.sha256
  if (digest !== promised) throw new DemoFailed(`the file's sha256 is ${digest}, but the task says ${promised}`)
  return digest
}

async function qemuImg(...args: string[]): Promise<void> {
  await run('qemu-img', args).catch((error: { stdout?: string; stderr?: string }) => {
    throw new DemoFailed(`qemu-img ${args[0]} refuses the file: ${error.stderr || error.stdout || 'it gave no reason'}`)
  })
}

function printCommands({ service: { url, token }, taskId, request }: Shown): void {
  const curl = `curl -sS -H 'X-Auth-Token: ${token}'`
  const again = JSON.stringify({ ...request, export_format: 'raw' })
  screen.line(`
The service stays up until Ctrl-C, at ${url} with the token ${token}. Try:

  ${curl} ${url}/v2/tasks/${taskId}
  ${curl} ${url}/v2/images/${request.image_uuid}
  ${curl} ${url}/v2/tasks -H 'Content-Type: application/json' -d '${again}'
  ${curl} ${url}/v2/tasks`)
}

const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]).then(() => undefined)
const stack = new AsyncDisposableStack()
try {
  const shown = await Promise.race([demo(stack), interrupted])
  if (!shown) {
    screen.fail('interrupted')
    process.exitCode = 130
  } else if (values.keep) {
    printCommands(shown)
    await interrupted
  } else {
    screen.line('\nTo try it yourself: ./scripts/demo --keep')
  }
} catch (error) {
  screen.fail(error instanceof DemoFailed ? error.message : String(error))
  process.exitCode = 1
} finally {
  await stack.disposeAsync()
}
// An interrupted demo may still have a step under way.
process.exit()
