import { createHash } from 'node:crypto'
import type {
  Destination,
  DestinationCheck,
  Found,
  Part,
  SentPart,
  Upload,
  UploadTarget
} from '../../src/destinations/destination.ts'
import { failure } from '../../src/destinations/failures.ts'

/** An upload that is not complete, and the parts it has by number. */
type Unfinished = { readonly file: Buffer; readonly parts: Map<number, SentPart> }
type Stored = { readonly bytes: Buffer; readonly target: UploadTarget }
type Call = 'find' | 'read' | 'remove' | 'open' | 'resume' | 'putPart' | 'commit' | 'abort' | 'discard'

/**
 * A place in memory for the use cases of exports: objects by URL, seen at commit. `marks: false` keeps no marks, as a web
 * server; `failing` is asked before every call, and may throw. With `resumable` uploads outlive whoever has begun them.
 */
export function memoryDestination(
  behaviour: {
    readonly marks?: boolean
    readonly anyOrder?: boolean
    readonly objectOptions?: Destination['objectOptions']
    readonly namesObject?: boolean
    readonly writesOnly?: boolean
    /** Nobody may look whether an object stands there. */
    readonly blind?: boolean
    readonly checks?: readonly DestinationCheck[]
    readonly partBytes?: number
    readonly failing?: (call: Call, target: UploadTarget, part?: Part) => unknown
    readonly resumable?: boolean
    /** Changes what is stored, as a bad disk does. */
    readonly spoil?: (bytes: Buffer) => Buffer
  } = {}
) {
  const { marks = true, anyOrder = false, failing = () => {}, spoil = (bytes) => bytes } = behaviour
  const objects = new Map<string, Stored>()
  const calls: Call[] = []
  const unfinished = new Map<string, Unfinished>()
  let opened = 0
  const on = async (call: Call, target: UploadTarget, part?: Part) => {
    calls.push(call)
    await failing(call, target, part)
  }

  const uploadOf = (id: string, target: UploadTarget): Upload => {
    const begun = () => {
      const found = unfinished.get(id)
      if (!found) throw failure('uploadGone', 'memory')
      return found
    }
    return {
      partBytes: behaviour.partBytes ?? target.length,
      parallel: 2,
      state: { upload: id, partBytes: String(behaviour.partBytes ?? target.length) },
      async putPart(part, body) {
        await on('putPart', target, part)
        const { file, parts } = begun()
        let at = part.offset
        for await (const chunk of body) {
          file.set(chunk, at)
          at += chunk.length
        }
        const sent = { number: part.number, bytes: part.length, tag: tagOf(file.subarray(part.offset, at)) }
        parts.set(part.number, sent)
        return sent
      },
      async commit() {
        await on('commit', target)
        if (!target.object.replace && objects.has(target.url.href)) throw failure('objectExists', 'memory')
        const { file, parts } = begun()
        const length = [...parts.values()].reduce((sum, { bytes }) => sum + bytes, 0)
        objects.set(target.url.href, { bytes: spoil(file.subarray(0, length)), target })
        unfinished.delete(id)
        return { location: target.url.href, etag: '"e-1"' }
      },
      async abort() {
        await on('abort', target)
        unfinished.delete(id)
        return ['partial object']
      }
    }
  }

  const destination: Destination = {
    schemes: ['memory'],
    credentialSchemas: [],
    objectOptions: behaviour.objectOptions ?? [],
    anyOrder: () => anyOrder,
    anonymous: true,
    check() {},
    namesObject: () => behaviour.namesObject ?? false,
    writesOnly: () => behaviour.writesOnly ?? false,
    checks: () => behaviour.checks ?? [],
    async find(target): Promise<Found> {
      await on('find', target)
      if (behaviour.blind) return { status: 'unreadable' }
      const stored = objects.get(target.url.href)
      if (!stored) return { status: 'absent' }
      const { exportId, contentId } = stored.target.marks
      return {
        status: 'present',
        length: stored.bytes.length,
        exportId: marks ? exportId : undefined,
        contentId: marks ? contentId : undefined
      }
    },
    async *read(target, { from, to }) {
      await on('read', target)
      const stored = objects.get(target.url.href)
      if (!stored) throw failure('notFound', 'memory')
      for (let at = from; at < to; at += 1000) yield stored.bytes.subarray(at, Math.min(to, at + 1000))
    },
    async remove(target) {
      await on('remove', target)
      objects.delete(target.url.href)
    },
    async open(target) {
      await on('open', target)
      const id = `u-${++opened}`
      unfinished.set(id, { file: Buffer.alloc(target.length), parts: new Map() })
      return uploadOf(id, target)
    },
    ...(behaviour.resumable && {
      async resume(target, { upload = '' }, sent) {
        await on('resume', target)
        const found = unfinished.get(upload)
        const kept = sent.filter(({ number, tag }) => found?.parts.get(number)?.tag === tag)
        return found && { upload: uploadOf(upload, target), kept }
      }
    }),
    async discard(target, state) {
      await on('discard', target)
      if (state) unfinished.delete(state.upload ?? '')
      return state ? ['what a dead worker left'] : []
    }
  }
  return { destination, objects, unfinished, calls }
}

const tagOf = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex')
