import { Type } from 'typebox'
import { TaskNotFound } from '../../domain/errors.ts'
import { type ImageId, imageId, isUuid, type TaskId, taskId } from '../../domain/ids.ts'
import { ImageNotFound } from '../../domain/image-errors.ts'

export const TaskParams = Type.Object({ taskId: Type.String({ description: 'Id of the task' }) })
export const ImageParams = Type.Object({ imageId: Type.String({ description: 'Id of the image' }) })

/** Any other text is the id of nothing: the same answer as for an unknown id. */
export function knownTaskId(text: string): TaskId {
  if (!isUuid(text)) throw new TaskNotFound(text)
  return taskId(text)
}

/** As `knownTaskId`. */
export function knownImageId(text: string): ImageId {
  if (!isUuid(text)) throw new ImageNotFound(text)
  return imageId(text)
}
