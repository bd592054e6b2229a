import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { imageId } from '../../domain/ids.ts'
import type { Library } from '../../library/library.ts'
import type { ImageQuery } from '../../library/ports.ts'
import { viewerOf } from '../access/guard.ts'
import { page } from '../answers/paging.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { RequestRefused } from '../requests/request-refused.ts'
import { createCheck } from '../requests/validation.ts'
import { Empty, errorAnswers, errorAnswersToJson } from '../schemas/common.ts'
import {
  ImageAnswer,
  type ImageDocument,
  ImageList,
  ImageListQuery,
  type ImageSchemas,
  PatchRequest
} from '../schemas/image.ts'
import { fieldsFromWire, imageDocument, imageToWire, newImageFromWire } from '../wire/image.ts'
import { applyPatch } from '../wire/image-patch.ts'
import { ImageParams, knownImageId } from './ids.ts'

const docs = docsOf('images', {})

const PATCH_TYPE = 'application/openstack-images-v2.1-json-patch'

/** Images' records, as Glance has them; their data is in image-data.ts. */
export function imageRoutes(images: Library, schemas: ImageSchemas): FastifyPluginAsyncTypebox {
  const checkDocument = createCheck(schemas.document)

  return async (app) => {
    app.post(
      '/v2/images',
      {
        schema: {
          ...docs('createImage', 'Create an image without data'),
          body: schemas.create,
          response: { ...errorAnswersToJson(409), 201: ImageAnswer }
        }
      },
      async (request, reply) => {
        const image = await images.createImage(viewerOf(request), newImageFromWire(request.body))
        return reply.code(201).header('location', `/v2/images/${image.id}`).send(imageToWire(image))
      }
    )

    app.get(
      '/v2/images/:imageId',
      {
        schema: {
          ...docs('showImage', 'Show one image'),
          params: ImageParams,
          response: { ...errorAnswers(404), 200: ImageAnswer }
        }
      },
      async (request) => imageToWire(await images.getImage(viewerOf(request), knownImageId(request.params.imageId)))
    )

    app.get(
      '/v2/images',
      {
        schema: {
          ...docs('listImages', 'List images, newest first'),
          querystring: ImageListQuery,
          response: { ...errorAnswers(400), 200: ImageList }
        }
      },
      async (request) => {
        const { entries, links } = await page('/v2/images', request.query, (limit) =>
          images.listImages(viewerOf(request), { ...imageQuery(request.query), limit })
        )
        return { images: entries.map(imageToWire), ...links, schema: '/v2/schemas/images' }
      }
    )

    app.patch(
      '/v2/images/:imageId',
      {
        preParsing: async (request) => requirePatchType(request),
        schema: {
          ...docs('updateImage', 'Change properties of an image'),
          consumes: [PATCH_TYPE],
          params: ImageParams,
          body: PatchRequest,
          response: { ...errorAnswersToJson(404, 409, 415), 200: ImageAnswer }
        }
      },
      async (request) => {
        const id = knownImageId(request.params.imageId)
        const image = await images.updateImage(viewerOf(request), id, (current) => {
          const document = applyPatch(imageDocument(current), request.body)
          const refused = checkDocument(document)
          if (refused) throw refused
          return fieldsFromWire(document as ImageDocument)
        })
        return imageToWire(image)
      }
    )

    app.delete(
      '/v2/images/:imageId',
      {
        schema: {
          ...docs('deleteImage', 'Delete an image that no task needs'),
          params: ImageParams,
          response: { ...errorAnswers(404, 409), 204: Empty('Deleted') }
        }
      },
      async (request, reply) => {
        await images.deleteImage(viewerOf(request), knownImageId(request.params.imageId))
        return reply.code(204).send(null)
      }
    )
  }
}

function imageQuery(query: ImageListQuery): Omit<ImageQuery, 'limit'> {
  const [key, direction] = (query.sort?.split(':') ?? []) as [ImageQuery['sortKey']?, ImageQuery['sortDir']?]
  const { name, status, visibility, owner } = query
  return {
    sortKey: key ?? query.sort_key ?? 'created_at',
    sortDir: direction ?? query.sort_dir ?? 'desc',
    ...(query.marker !== undefined && { marker: imageId(query.marker) }),
    ...(name !== undefined && { name }),
    ...(status !== undefined && { status }),
    ...(visibility !== undefined && { visibility }),
    ...(owner !== undefined && { owner })
  }
}

function requirePatchType(request: FastifyRequest): void {
  if (request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() === PATCH_TYPE) return
  throw new RequestRefused(415, `The Content-Type must be ${PATCH_TYPE}.`, { headers: { 'accept-patch': PATCH_TYPE } })
}
