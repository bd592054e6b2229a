import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Library } from '../../library/library.ts'
import type { TempUrls } from '../../temp-urls/temp-urls.ts'
import { viewerOf } from '../access/guard.ts'
import { page } from '../answers/paging.ts'
import { docsOf } from '../openapi/route-docs.ts'
import { errorAnswers } from '../schemas/common.ts'
import { ImageTasks, TaskList, TaskListQuery } from '../schemas/task-list.ts'
import type { TaskUses } from '../uses.ts'
import { toListed, toWire } from '../wire/task.ts'
import { taskQueryOf } from '../wire/task-query.ts'
import { ImageParams, knownImageId } from './ids.ts'

const docs = docsOf('tasks', {})
/** Glance gives all of them at once; nobody reads more. */
const TASKS_OF_AN_IMAGE = 1000

const LIST = `Filters may be combined; all of them have to hold. A page begins behind its marker, whatever has come or gone
meanwhile: follow \`next\` as it is until it is absent.`

/** Tasks of the caller's project, those of every project for an admin. */
export function taskListRoutes(
  uses: TaskUses,
  images: Pick<Library, 'getImage'>,
  tempUrls: Pick<TempUrls, 'links'>
): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      '/v2/tasks',
      {
        schema: {
          ...docs('listTasks', 'List tasks, newest first', LIST),
          querystring: TaskListQuery,
          response: { ...errorAnswers(400), 200: TaskList }
        }
      },
      async (request) => {
        const { entries, links } = await page('/v2/tasks', request.query, (limit) =>
          uses.listTasks(viewerOf(request), { ...taskQueryOf(request.query), limit })
        )
        return { tasks: entries.map(toListed), ...links, schema: '/v2/schemas/tasks' }
      }
    )

    app.get(
      '/v2/images/:imageId/tasks',
      {
        schema: {
          ...docs('listImageTasks', "List an image's tasks, whole, newest first"),
          params: ImageParams,
          response: { ...errorAnswers(404), 200: ImageTasks }
        }
      },
      async (request) => {
        const viewer = viewerOf(request)
        const image = await images.getImage(viewer, knownImageId(request.params.imageId))
        const tasks = await uses.wholeTasks(viewer, {
          imageId: image.id,
          order: [{ key: 'created_at', direction: 'desc' }],
          limit: TASKS_OF_AN_IMAGE
        })
        const links = await tempUrls.links(tasks)
        return { tasks: tasks.map((task) => toWire(task, links.get(task.id))) }
      }
    )
  }
}
