import { execFile } from 'node:child_process'
import type { Stats } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cpuOfDescendants, diskWritten, forgetPeakRss, peakRss } from './processes.ts'
import type { ExportWish, Service, Worker } from './service.ts'
import type { Sink } from './sinks.ts'

const run = promisify(execFile)

/** What one export took. */
export type Sample = {
  readonly wallMs: number
  /** User and system, of every process but the sink. */
  readonly cpuMs: number
  readonly rssBytes: number
  /** The most that lay on a disk for this export. */
  readonly diskBytes: number
  readonly sentBytes: number
}

/** Often enough to see a file that lives for a tenth of a second, seldom enough to cost nothing. */
const LOOK_MS = 50

/** One export by the service: from the POST to the moment the worker has written down its success. */
export async function oursOnce(
  service: Service,
  worker: Worker,
  wishes: readonly ExportWish[],
  sink: Sink,
  sinks: ReadonlySet<number>
): Promise<Sample> {
  const staged = await watchStaging(service)
  const before = { cpu: cpuOfDescendants(sinks), sent: await sink.received(), written: diskWritten(worker.pid) }
  forgetPeakRss(worker.pid)
  const startedAt = performance.now()
  await Promise.all(wishes.map((wish) => worker.export(wish)))
  const wallMs = performance.now() - startedAt
  return {
    wallMs,
    cpuMs: cpuOfDescendants(sinks) - before.cpu,
    rssBytes: peakRss(worker.pid),
    // Files could be deleted while they are open; what the kernel was given to write tells of them too.
    diskBytes: Math.max(await staged(), diskWritten(worker.pid) - before.written),
    sentBytes: (await sink.received()) - before.sent
  }
}

/** By how much the service's folders grow at most, its database aside. */
async function watchStaging({ dataDir, tempDir }: Service): Promise<() => Promise<number>> {
  const used = async () => (await occupied(join(dataDir, 'images'))) + (await occupied(tempDir))
  const before = await used()
  let most = before
  const look = async () => {
    most = Math.max(most, await used())
  }
  const timer = setInterval(() => void look(), LOOK_MS)
  return async () => {
    clearInterval(timer)
    await look()
    return most - before
  }
}

async function occupied(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = entries.map((entry) => stat(join(entry.parentPath, entry.name)).then(bytesOnDisk, () => 0))
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0)
}

const bytesOnDisk = ({ blocks }: Stats): number => blocks * 512

/** What people do today: `qemu-img convert` to a file, then `curl -T`. The removal of the file is not counted. */
export async function baselineOnce(
  measured: string,
  scratch: string,
  source: { readonly path: string; readonly diskFormat: string },
  qemu: readonly string[],
  sink: Sink
): Promise<Sample> {
  const file = join(scratch, 'converted')
  const sentBefore = await sink.received()
  try {
    const startedAt = performance.now()
    const convert = await use(measured, 'qemu-img', 'convert', '-f', source.diskFormat, ...qemu, source.path, file)
    const upload = await use(measured, 'curl', '--silent', '--show-error', '--fail', '-T', file, sink.url)
    const wallMs = performance.now() - startedAt
    return {
      wallMs,
      cpuMs: convert.cpuMs + upload.cpuMs,
      rssBytes: Math.max(convert.rssBytes, upload.rssBytes),
      diskBytes: bytesOnDisk(await stat(file)),
      sentBytes: (await sink.received()) - sentBefore
    }
  } finally {
    await rm(file, { force: true })
  }
}

async function use(measured: string, ...command: string[]): Promise<{ cpuMs: number; rssBytes: number }> {
  const { stdout } = await run(measured, command)
  const [cpuMicroseconds = 0, rssKiB = 0] = stdout.split(' ').map(Number)
  return { cpuMs: cpuMicroseconds / 1000, rssBytes: rssKiB * 1024 }
}
