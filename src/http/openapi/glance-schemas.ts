import { TASK_STATUSES } from '../../domain/task.ts'
import { CONTAINER_FORMATS, VISIBILITIES } from '../schemas/image.ts'
import { GLANCE_STATUSES } from '../schemas/task.ts'

/**
 * The JSON Schemas of /v2/schemas, in Glance's dialect: python-glanceclient checks what it sends and gets against them, and
 * openstacksdk reads them. No `required`, and no boolean `additionalProperties`: either client fails on those.
 */
export function glanceSchemas(diskFormats: readonly string[]): Record<string, object> {
  const task = { name: 'task', properties: { ...listedTask, ...onlyShown } }
  const image = {
    name: 'image',
    properties: imageProperties(diskFormats),
    additionalProperties: text('A custom property')
  }
  return {
    task,
    tasks: collection('tasks', { name: 'task', properties: listedTask }),
    image,
    images: collection('images', image)
  }
}

const text = (description: string) => ({ type: 'string', description })
const readOnly = (description: string, type: string | string[] = 'string') => ({ type, description, readOnly: true })
const uuid = (description: string) => ({
  ...text(description),
  pattern: '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$'
})

const listedTask = {
  id: uuid('Id of the task'),
  type: { enum: ['export'], ...text('The type of task') },
  status: { enum: GLANCE_STATUSES, ...text('The status of the task') },
  owner: text('The project the task belongs to'),
  created_at: text('When the task was created'),
  updated_at: text('When the task changed last'),
  expires_at: { type: ['null', 'string'], description: 'When the task goes, once it has ended' },
  self: readOnly('Path of the task'),
  schema: readOnly('Path of this schema'),
  task_type: { enum: ['export'], ...text('The type of task') },
  task_status: { enum: TASK_STATUSES, ...text('The status of the task, in five steps') },
  image_uuid: text('The image that is exported')
}

const onlyShown = {
  input: { type: ['null', 'object'], description: 'What the task is to do' },
  result: { type: ['null', 'object'], description: 'What the task has done, after a success' },
  message: text('Why the task failed, or what goes on'),
  image_id: text('The image that is exported'),
  request_id: text('The request that created the task'),
  user_id: text('Who created the task'),
  export_to: text('URL to write to'),
  export_format: text('Disk format to write'),
  export_location: text('URL of the exported image')
}

const imageProperties = (diskFormats: readonly string[]) => ({
  id: uuid('Id of the image'),
  name: { type: ['null', 'string'], description: 'Name of the image', maxLength: 255 },
  status: { enum: ['queued', 'saving', 'active', 'killed'], ...readOnly('Status of the image') },
  visibility: { enum: VISIBILITIES, ...text('Who sees the image') },
  protected: { type: 'boolean', description: 'If true, the image cannot be deleted.' },
  checksum: readOnly('MD5 of the data', ['null', 'string']),
  os_hash_algo: readOnly('Algorithm of os_hash_value', ['null', 'string']),
  os_hash_value: readOnly('Hash of the data', ['null', 'string']),
  owner: readOnly('Owner of the image', ['null', 'string']),
  size: readOnly('Size of the data in bytes', ['null', 'integer']),
  virtual_size: readOnly('Size of the disk in bytes', ['null', 'integer']),
  container_format: {
    type: ['null', 'string'],
    enum: [null, ...CONTAINER_FORMATS],
    description: 'Format of the container'
  },
  disk_format: { type: ['null', 'string'], enum: [null, ...diskFormats], description: 'Format of the disk' },
  created_at: readOnly('When the image was created'),
  updated_at: readOnly('When the image changed last'),
  tags: { type: 'array', items: { type: 'string', maxLength: 255 }, description: 'Words to find it by' },
  min_ram: { type: 'integer', minimum: 0, description: 'Memory in MiB that a machine needs' },
  min_disk: { type: 'integer', minimum: 0, description: 'Disk in GiB that a machine needs' },
  self: readOnly('Path of the image'),
  file: readOnly('Path of the data'),
  schema: readOnly('Path of this schema')
})

const collection = (name: string, item: object) => ({
  name,
  properties: {
    [name]: { type: 'array', items: item },
    first: { type: 'string' },
    next: { type: 'string' },
    schema: { type: 'string' }
  },
  links: [
    { rel: 'first', href: '{first}' },
    { rel: 'next', href: '{next}' },
    { rel: 'describedby', href: '{schema}' }
  ]
})
