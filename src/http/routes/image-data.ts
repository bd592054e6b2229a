import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Range } from '../../disks/disk.ts'
import type { ByteSource } from '../../domain/bytes.ts'
import type { Library } from '../../library/library.ts'
import type { ImageFile } from '../../library/read-image-file.ts'
import { viewerOf } from '../access/guard.ts'
import { parseRange } from '../answers/byte-range.ts'
import { byteStream, MEDIA_TYPE } from '../answers/byte-stream.ts'
import { whenGone } from '../answers/client-gone.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { RequestRefused } from '../requests/request-refused.ts'
import { Bytes, Empty, errorAnswers, RangeHeader } from '../schemas/common.ts'
import { ImageParams, knownImageId } from './ids.ts'

const docs = docsOf('images', {})

/** Images' bytes. They pass through in chunks: no request holds more than a few of them. */
export function imageDataRoutes(images: Library): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser(MEDIA_TYPE, (_request, _payload, done) => done(null))

    app.put(
      '/v2/images/:imageId/file',
      {
        validatorCompiler: () => () => true, // the body is a stream
        schema: {
          ...docs('uploadImageData', 'Upload the data of an image, once'),
          consumes: [MEDIA_TYPE],
          params: ImageParams,
          body: Bytes('The file, in the format that the image declares'),
          response: { ...errorAnswers(400, 404, 409, 413, 415), 204: Empty('Stored') }
        }
      },
      async (request, reply) => {
        if (!request.headers['content-type']) throw new RequestRefused(415, `The Content-Type must be ${MEDIA_TYPE}.`)
        const id = knownImageId(request.params.imageId)
        await images.uploadImage(viewerOf(request), id, received(request), whenGone(reply))
        return reply.code(204).send(null)
      }
    )

    app.get(
      '/v2/images/:imageId/file',
      {
        schema: {
          ...docs('downloadImageData', 'Download the data of an image, whole or one range of it'),
          params: ImageParams,
          headers: Type.Object({ range: RangeHeader }),
          produces: [MEDIA_TYPE],
          response: {
            ...errorAnswers(400, 404, 416),
            200: Bytes('All of it'),
            206: Bytes('The range'),
            204: Empty('There is no data yet')
          }
        }
      },
      async (request, reply) => {
        const viewer = viewerOf(request)
        const { id, size } = await images.getImage(viewer, knownImageId(request.params.imageId))
        if (size === null) return reply.code(204).send(null)
        const range = parseRange(request.headers.range, size)
        const file = await images.readImage(viewer, id, range, whenGone(reply))
        return file ? sendFile(reply, file, range) : reply.code(204).send(null)
      }
    )
  }
}

function sendFile(reply: FastifyReply, file: ImageFile, range: Range | undefined): FastifyReply {
  const { offset, length } = range ?? { offset: 0, length: file.size }
  if (range) reply.code(206).header('content-range', `bytes ${offset}-${offset + length - 1}/${file.size}`)
  if (file.checksum !== null) reply.header('content-md5', file.checksum) // of the whole and in hex, as Glance has it
  const stream = byteStream(file.bytes)
  stream.once('close', () => void file[Symbol.asyncDispose]()) // also when nothing was read
  return reply.type(MEDIA_TYPE).header('content-length', length).header('accept-ranges', 'bytes').send(stream)
}

/**
 * The body as it arrives. Who stops reading it leaves the connection open, so that a refusal can still be sent; a client that
 * goes away in the middle makes it throw.
 */
const received = (request: FastifyRequest): ByteSource => ({
  [Symbol.asyncIterator]: () => request.raw.iterator({ destroyOnReturn: false })
})
