import { randomUUID } from 'node:crypto'
import type { Limits } from '../../../src/destinations/connection.ts'
import type { Credentials, Destination, Upload, UploadTarget } from '../../../src/destinations/destination.ts'
import { MiB } from '../../../src/domain/bytes.ts'
import type { Hashers } from '../../../src/hashing/hashers.ts'
import type { DestinationHarness } from '../../contracts/destination.contract.ts'
import { PATIENT } from '../../contracts/destination.contract.ts'
import { breakStep, type Fault, faultServer } from '../../support/fault-server.ts'
import { uploadTarget } from '../../support/upload-target.ts'
import { workersOf } from '../../support/workers.ts'
import type { TestAccount } from './swift-account.ts'

/** Requests that carry bytes of the file. */
export const isPart = ({ method, url }: { method: string; url: string }) =>
  method === 'PUT' && /\/v1\/[^/]+\/[^/]+\/./.test(url) && !url.includes('multipart-manifest')
export const isManifest = ({ method, url }: { method: string; url: string }) =>
  method === 'PUT' && url.includes('multipart-manifest=put')

const isHead = ({ method }: { method: string }) => method === 'HEAD'

/** Of any length below this an upload cannot know that it would fit into one request. */
const UNSURE = 16 * MiB

type Settings = {
  readonly hashers: Hashers
  readonly account: TestAccount
  /** Given the port of the proxy that may break requests. */
  readonly credentials: (port: number) => Credentials
  readonly limits?: Limits
  /** The account as export_to names it. */
  readonly named?: string
  readonly container?: string
}

/** The destination in front of a real Swift, with a new container there and a proxy between them. */
export async function swiftHarness(settings: Settings) {
  const { account, hashers, limits = PATIENT } = settings
  const container = settings.container ?? `c-${randomUUID().slice(0, 8)}`
  await account.put(`/${container}`)
  const faults = await faultServer(Number(new URL(account.storageUrl).port))
  const workers = workersOf('swift', { hashers, allowedNetworks: ['127.0.0.0/8'], allowedEndpoints: [], limits })
  const credentials = settings.credentials(faults.port)
  const prefix = `swift://127.0.0.1:${faults.port}/${settings.named ?? account.name}/${container}/a%20folder`
  const pathOf = (target: UploadTarget) => `/${target.url.pathname.split('/').slice(2).join('/')}`

  return {
    ...workers,
    account,
    container,
    faults,
    pathOf,
    target: (length: number, changes: Partial<UploadTarget> = {}) => uploadTarget(prefix, length, credentials, changes),
    read: (target: UploadTarget) => account.get(pathOf(target)),
    kept: () => account.kept(container),
    segments: () => account.list(`${container}_segments`),
    breakNextPart: (fault: Fault) => faults.inject(fault, isPart),
    async [Symbol.asyncDispose]() {
      workers.closeWorkers()
      await faults[Symbol.asyncDispose]()
    }
  }
}

/** For the contract: with `segments` every upload is a segmented one, as its length is not known before. */
export async function contractHarness(settings: Settings, segments: boolean): Promise<DestinationHarness> {
  const harness = await swiftHarness(settings)
  return {
    ...harness,
    ...(segments && {
      breakNextCommit: (how: 'refused' | 'unheard') => breakStep(harness.faults, how, isManifest, isHead)
    }),
    atomic: segments,
    marks: true,
    target: (length) => (segments ? harness.target(length + UNSURE, { exact: false }) : harness.target(length))
  }
}

export const never = new AbortController().signal

/** Bytes that differ from place to place, and by `seed`. */
export function bytes(length: number, seed = 0): Buffer {
  const all = Buffer.alloc(length)
  for (let at = 0; at < length; at += 1) all[at] = (at + seed + Math.floor(at / 65_536)) % 251
  return all
}

export async function* chunksOf(content: Buffer) {
  for (let at = 0; at < content.length; at += 65_536) yield content.subarray(at, at + 65_536)
}

/** Sends every part of `content`. */
async function sendAll(upload: Upload, content: Buffer): Promise<void> {
  for (let offset = 0, number = 1; offset < content.length; offset += upload.partBytes, number += 1) {
    const part = content.subarray(offset, offset + upload.partBytes)
    await upload.putPart({ number, offset, length: part.length }, chunksOf(part), never)
  }
}

/** An upload with every part sent. */
export async function sent(destination: Destination, target: UploadTarget, content: Buffer): Promise<Upload> {
  const upload = await destination.open(target, never)
  await sendAll(upload, content)
  return upload
}

export async function stored(destination: Destination, target: UploadTarget, content: Buffer): Promise<void> {
  await (await sent(destination, target, content)).commit(never)
}

export async function readAll(destination: Destination, target: UploadTarget, to: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of destination.read(target, { from: 0, to }, never)) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}
