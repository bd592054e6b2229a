import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Json } from '../test/support/service.ts'
import { startChild, stopChild } from './processes.ts'

const run = promisify(execFile)

/** Compiles the two helpers that are written in C. */
export async function compileTools(folder: string): Promise<{ readonly sink: string; readonly measured: string }> {
  await mkdir(folder, { recursive: true })
  const compile = async (name: string) => {
    const program = join(folder, name)
    await run('gcc', ['-O2', '-pthread', '-o', program, join(import.meta.dirname, `${name}.c`)])
    return program
  }
  return { sink: await compile('sink'), measured: await compile('measured') }
}

/** A server that drops what it is sent, see sink.c. */
export type Sink = {
  readonly pid: number
  /** Where `curl -T` puts its file. */
  readonly url: string
  /** What an export task names to send there over each protocol. */
  readonly places: { readonly http: Json; readonly s3: Json }
  /** Body bytes of all PUTs so far. */
  received(): Promise<number>
  stop(): Promise<void>
}

/** `copy` costs this machine what a server on it would, `drop` next to nothing; see sink.c. */
export type SinkKind = 'drop' | 'copy'

/** @param bytesPerSecond limit of the line to it; no limit when left out */
export async function startSink(program: string, kind: SinkKind, bytesPerSecond?: number): Promise<Sink> {
  const child = startChild(program, bytesPerSecond === undefined ? [kind] : [kind, String(bytesPerSecond)])
  if (!child.stdout) throw new Error('the sink has no output')
  const [port] = await once(child.stdout, 'data')
  const origin = `http://127.0.0.1:${String(port).trim()}`
  return {
    pid: child.pid ?? 0,
    url: `${origin}/image`,
    places: {
      http: { export_to: `${origin}/bench` },
      s3: {
        export_to: 's3://bench/exports',
        export_to_credentials: {
          kind: 's3_static',
          access_key_id: 'bench',
          secret_access_key: 'bench-secret',
          endpoint: origin
        }
      }
    },
    received: async () => Number(await (await fetch(origin)).text()),
    stop: () => stopChild(child)
  }
}
