import type { Destination, DestinationCheck, Found, UploadTarget } from '../../src/destinations/destination.ts'
import { failure } from '../../src/destinations/failures.ts'

type Stored = { readonly bytes: Buffer; readonly target: UploadTarget }
type Call = 'find' | 'read' | 'remove' | 'open' | 'putPart' | 'commit' | 'abort' | 'discard'

/**
 * A place in memory for the use cases of exports: objects by URL, seen at commit. `marks: false` keeps no marks, as a web
 * server; `failing` is asked before every call, and may throw.
 */
export function memoryDestination(
  behaviour: {
    readonly marks?: boolean
    readonly anyOrder?: boolean
    readonly objectOptions?: Destination['objectOptions']
    readonly namesObject?: boolean
    readonly checks?: readonly DestinationCheck[]
    readonly partBytes?: number
    readonly failing?: (call: Call, target: UploadTarget) => void
    /** Changes what is stored, as a bad disk does. */
    readonly spoil?: (bytes: Buffer) => Buffer
  } = {}
) {
  const { marks = true, anyOrder = false, failing = () => {}, spoil = (bytes) => bytes } = behaviour
  const objects = new Map<string, Stored>()
  const calls: Call[] = []
  const on = (call: Call, target: UploadTarget) => {
    calls.push(call)
    failing(call, target)
  }

  const destination: Destination = {
    schemes: ['memory'],
    credentialSchemas: [],
    objectOptions: behaviour.objectOptions ?? [],
    anyOrder: () => anyOrder,
    anonymous: true,
    check() {},
    namesObject: () => behaviour.namesObject ?? false,
    checks: () => behaviour.checks ?? [],
    async find(target): Promise<Found> {
      on('find', target)
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
      on('read', target)
      const stored = objects.get(target.url.href)
      if (!stored) throw failure('notFound', 'memory')
      for (let at = from; at < to; at += 1000) yield stored.bytes.subarray(at, Math.min(to, at + 1000))
    },
    async remove(target) {
      on('remove', target)
      objects.delete(target.url.href)
    },
    async open(target) {
      on('open', target)
      const file = Buffer.alloc(target.length)
      let length = 0
      return {
        partBytes: behaviour.partBytes ?? target.length,
        parallel: 2,
        state: { upload: 'u-1' },
        async putPart(part, body) {
          on('putPart', target)
          let at = part.offset
          for await (const chunk of body) {
            file.set(chunk, at)
            at += chunk.length
          }
          length = Math.max(length, at)
        },
        async commit() {
          on('commit', target)
          if (!target.object.replace && objects.has(target.url.href)) throw failure('objectExists', 'memory')
          objects.set(target.url.href, { bytes: spoil(file.subarray(0, length)), target })
          return { location: target.url.href, etag: '"e-1"' }
        },
        async abort() {
          on('abort', target)
          return ['partial object']
        }
      }
    },
    async discard(target) {
      on('discard', target)
      return ['what a dead worker left']
    }
  }
  return { destination, objects, calls }
}
