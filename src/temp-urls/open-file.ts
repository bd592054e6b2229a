import type { Disk, RandomAccess } from '../disks/disk.ts'
import { openLocalFile } from '../disks/local-file.ts'
import { SourceReadFailed } from '../domain/errors.ts'
import type { TaskId } from '../domain/ids.ts'
import { planFile } from '../export/attempt/file-plan.ts'
import { openSource, type SourceUses } from '../export/attempt/open-source.ts'
import { LAYOUT_VERSION } from '../export/content-id.ts'
import type { Layout } from '../formats/format.ts'
import { chooseFormat } from '../formats/format-family.ts'
import type { Formats } from '../formats/registry.ts'
import type { Servable } from './ports.ts'

export type OpenUses = SourceUses & {
  readonly formats: Formats
  /** Where the kept file of a task is. */
  readonly stagedPath: (task: TaskId) => string
}

/** Where every byte of a file comes from. Whoever opened it disposes of `disk`. */
export type OpenFile = { readonly layout: Layout; readonly disk: Disk }

/**
 * Opens the file behind a temporary URL: its image, laid out as the export laid it out, or what was kept of it.
 * @throws SourceReadFailed when it is not there any more, or would not be the same
 */
export async function openFile(uses: OpenUses, tempUrl: Servable, signal: AbortSignal): Promise<OpenFile> {
  const file = tempUrl.virtual ? await layOut(uses, tempUrl, signal) : await openStaged(uses, tempUrl)
  if (file.layout.length === tempUrl.bytes) return file
  await file.disk[Symbol.asyncDispose]()
  throw new SourceReadFailed(`it gives ${file.layout.length} bytes where ${tempUrl.bytes} were exported`)
}

async function layOut(uses: OpenUses, tempUrl: Servable, signal: AbortSignal): Promise<OpenFile> {
  const { imageId, source, exportFormat, formatOptions, layoutVersion } = tempUrl
  const family = uses.formats.get(exportFormat)
  if (!family || layoutVersion !== LAYOUT_VERSION) {
    throw new SourceReadFailed('another version of the service made this file; export the image again')
  }
  const disk = await openSource(uses, imageId, source, signal)
  try {
    const { layout } = await planFile(disk, chooseFormat(family, formatOptions))
    if (layout) return { layout, disk }
    throw new Error(`the format ${exportFormat} has no layout`)
  } catch (error) {
    await disk[Symbol.asyncDispose]()
    throw error
  }
}

async function openStaged({ stagedPath }: OpenUses, { taskId }: Servable): Promise<OpenFile> {
  const file = await openLocalFile(stagedPath(taskId))
  return { layout: wholeOf(file), disk: diskOf(file) }
}

/** A kept file is laid out as itself. */
const wholeOf = ({ size }: RandomAccess): Layout => ({
  length: size,
  *segments(from, to) {
    if (from < to) yield { kind: 'disk', offset: from, length: to - from }
  }
})

const diskOf = (file: RandomAccess): Disk => ({
  virtualSize: file.size,
  async *extents() {
    yield { offset: 0, length: file.size, data: true }
  },
  read: (target, offset) => file.read(target, offset),
  [Symbol.asyncDispose]: () => file[Symbol.asyncDispose]()
})
