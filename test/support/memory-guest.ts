import type { GuestChange, GuestEntry, GuestFiles } from '../../src/scrub/guest.ts'

type Node = { readonly kind: GuestEntry['kind']; readonly bytes: Buffer; readonly mode: number }

/**
 * A guest's files in memory. Paths with their text; one that ends with `/` is a folder, a text of `-> target` a link. Folders
 * above are made.
 */
export class MemoryGuest implements GuestFiles {
  readonly nodes = new Map<string, Node>()

  constructor(files: Readonly<Record<string, string | Buffer>>) {
    for (const [path, text] of Object.entries(files)) this.#add(path, text)
  }

  #add(path: string, text: string | Buffer): void {
    const parts = path.split('/').filter((part) => part !== '')
    for (let i = 1; i < parts.length; i += 1) this.#folder(`/${parts.slice(0, i).join('/')}`)
    if (path.endsWith('/')) this.#folder(`/${parts.join('/')}`)
    else {
      const kind = String(text).startsWith('-> ') ? 'link' : 'file'
      this.nodes.set(path, { kind, bytes: Buffer.from(text), mode: 0o640 })
    }
  }

  #folder(path: string): void {
    if (!this.nodes.has(path)) this.nodes.set(path, { kind: 'folder', bytes: Buffer.alloc(0), mode: 0o755 })
  }

  async stat(path: string): Promise<GuestEntry | undefined> {
    const node = this.nodes.get(path)
    return node && entryOf(path, node)
  }

  async list(folder: string): Promise<readonly GuestEntry[]> {
    const prefix = folder === '/' ? '/' : `${folder}/`
    return [...this.nodes]
      .filter(
        ([path]) => path.startsWith(prefix) && path.length > prefix.length && !path.slice(prefix.length).includes('/')
      )
      .map(([path, node]) => entryOf(path, node))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async read(path: string, limit: number): Promise<Buffer | undefined> {
    const node = this.nodes.get(path)
    return node?.kind === 'file' && node.bytes.length <= limit ? node.bytes : undefined
  }

  async head(path: string, bytes: number): Promise<Buffer | undefined> {
    const node = this.nodes.get(path)
    return node?.kind === 'file' ? node.bytes.subarray(0, bytes) : undefined
  }

  /** Makes a change as editors promise to; throws where there is nothing to change. */
  apply(change: GuestChange): void {
    const node = this.nodes.get(change.path)
    if (change.kind === 'write') {
      const folder = change.path.slice(0, change.path.lastIndexOf('/')) || '/'
      if (folder !== '/' && this.nodes.get(folder)?.kind !== 'folder') throw new Error(`no folder for ${change.path}`)
      this.nodes.set(change.path, { kind: 'file', bytes: change.bytes, mode: node?.mode ?? change.mode })
      return
    }
    if (!node) throw new Error(`nothing to ${change.kind} at ${change.path}`)
    if (change.kind === 'blank') {
      const bytes = Buffer.concat([node.bytes.subarray(0, change.from), Buffer.alloc(node.bytes.length - change.from)])
      this.nodes.set(change.path, { ...node, bytes })
      return
    }
    if (change.kind === 'empty' && node.kind === 'link') throw new Error(`${change.path} is a link`)
    for (const path of [...this.nodes.keys()]) if (path.startsWith(`${change.path}/`)) this.nodes.delete(path)
    if (change.kind === 'remove') this.nodes.delete(change.path)
    else this.nodes.set(change.path, { ...node, bytes: Buffer.alloc(0) })
  }

  /** All that any file says, and all names. */
  get everything(): string {
    return [...this.nodes].map(([path, { bytes }]) => `${path}\n${bytes.toString('latin1')}`).join('\n')
  }
}

const entryOf = (path: string, { kind, bytes, mode }: Node): GuestEntry => ({
  name: path.slice(path.lastIndexOf('/') + 1),
  kind,
  bytes: bytes.length,
  mode,
  uid: 0,
  gid: 0
})
