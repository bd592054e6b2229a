import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import type { InjectOptions } from 'fastify'
import { expect, test } from 'vitest'
import { diskReaders } from '../../../src/disks/registry.ts'
import { imageId, ownerId, taskId } from '../../../src/domain/ids.ts'
import { createFormats } from '../../../src/formats/registry.ts'
import { assertSoundAnswer, operationsOf, requestsOf } from '../../support/openapi-fuzz.ts'
import { appOver, MemoryService, token } from './memory-service.ts'

/** Hundreds of requests as a rule, thousands with FUZZ_RUNS. The seed is always the same, unless FUZZ_SEED says another. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 600)
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_122)

const document = JSON.parse(readFileSync(new URL('../../../openapi/openapi.json', import.meta.url), 'utf8'))
const IMAGE = 'deadbeef-dead-dead-dead-beefbeefbeef'
const TASK = '0a000000-0000-4000-8000-00000000000a'
const FOREIGN = '0b000000-0000-4000-8000-00000000000b'
const KNOWN = {
  image_uuid: [IMAGE],
  image_id: [IMAGE],
  imageId: [IMAGE, FOREIGN, 'no-uuid'],
  taskId: [TASK, FOREIGN, 'no-uuid'],
  export_to: ['https://store.example.com/place', 's3://bucket/place', 'sftp://example.com/folder'],
  fileName: ['disk.raw']
}

/** What requests are about is there again, whatever the ones before have made of it. */
function populate(service: MemoryService): void {
  service.images.clear()
  service.tasks.clear()
  service.addImage({ id: imageId(IMAGE), status: 'active' })
  service.addImage({ id: imageId(FOREIGN), status: 'active', owner: ownerId('other') })
  service.addTask({ id: taskId(TASK) })
  service.addTask({ id: taskId(FOREIGN), owner: ownerId('other') })
}

test(`every operation answers ${RUNS} requests made of its document, right and wrong, as it should`, async () => {
  const service = new MemoryService()
  const app = appOver(service, { formats: [...createFormats().keys()], diskFormats: [...diskReaders().keys()] })
  const operations = operationsOf(document)
  const requests = fc.constantFrom(...operations).chain((operation) => requestsOf(operation, document, KNOWN))
  const seen = new Map<string, number>()

  await fc.assert(
    fc.asyncProperty(requests, async (request) => {
      populate(service)
      const answer = await app.inject({
        method: request.operation.method as NonNullable<InjectOptions['method']>,
        url: request.url,
        headers: { ...request.headers, ...token('demo') },
        ...(request.body !== undefined && { payload: request.body })
      })
      assertSoundAnswer(request, {
        status: answer.statusCode,
        text: answer.body,
        type: String(answer.headers['content-type'])
      })
      const kind = `${Math.floor(answer.statusCode / 100)}xx`
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
      seen.set(request.operation.operationId, 1)
    }),
    { numRuns: RUNS, seed: SEED }
  )
  await app.close()

  // It would be no test if all of it were refused, or if an operation were left out.
  expect(seen.get('2xx')).toBeGreaterThan(RUNS / 10)
  expect(seen.get('4xx')).toBeGreaterThan(RUNS / 3)
  for (const { operationId } of operations) expect(seen.has(operationId)).toBe(true)
}, 300_000)
