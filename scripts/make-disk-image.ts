import { parseArgs } from 'node:util'
import { makeDiskImage } from '../test/support/disk-image.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '512' },
    content: { type: 'string', default: '100' },
    from: { type: 'string', multiple: true }
  }
})
const [path] = positionals
if (path === undefined) {
  console.error('usage: make-disk-image.ts [--size MiB] [--content MiB] [--from folder]... <file>')
  process.exit(2)
}

const image = await makeDiskImage({
  path,
  sizeMiB: Number(values.size),
  contentMiB: Number(values.content),
  ...(values.from && { sources: values.from })
})
console.log(JSON.stringify(image, null, 2))
