declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

export type TaskId = Branded<string, 'TaskId'>
export type ImageId = Branded<string, 'ImageId'>
/** The project a task or an image belongs to. */
export type OwnerId = Branded<string, 'OwnerId'>

/** Lower case and hyphens only, as Glance has it: any other spelling of an id is an unknown id. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export const isUuid = (text: string): boolean => text.length === 36 && UUID.test(text)
export const taskId = (text: string): TaskId => text as TaskId
export const imageId = (text: string): ImageId => text as ImageId
export const ownerId = (text: string): OwnerId => text as OwnerId
