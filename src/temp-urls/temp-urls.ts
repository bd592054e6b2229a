import { OptionUnsupported } from '../domain/export-errors.ts'
import { isUuid, type TaskId, taskId } from '../domain/ids.ts'
import { isIpRange } from '../domain/ip-range.ts'
import type { Task } from '../domain/task.ts'
import { TempUrlAbsent } from '../domain/temp-url-errors.ts'
import type { Viewer } from '../domain/viewer.ts'
import { TEMPURL } from '../export/requests/temp-url-request.ts'
import { Downloads, type DownloadUses, type OpenDownload } from './downloads.ts'
import { type Claimed, type DeriveKeys, Links } from './links.ts'
import type { Download, NewDownload, Servable, TempUrlStore } from './ports.ts'

/** What a client may say of a further URL. `ip_range` null is everybody; what is left out stays as it is. */
type IssueRequest = {
  readonly ttl_seconds?: number
  readonly ip_range?: string | null
  readonly revoke_earlier?: boolean
}

type Issued = { readonly url: string; readonly until: Date; readonly ipRange: string | null }

/** Downloads by signed URL, and what their owners can do about them. */
export interface TempUrls {
  /** The temporary URLs of those of these tasks that have a living one, signed afresh. */
  links(tasks: readonly Task[]): Promise<ReadonlyMap<TaskId, string>>
  /** The file that a request may have. Undefined for every reason alike: unknown, expired, revoked, forged, from elsewhere. */
  find(id: string, claimed: Claimed): Promise<Servable | undefined>
  /** Undefined when the URL has ended meanwhile. Throws DownloadsBusy, SourceReadFailed. */
  download(tempUrl: Servable, asked: NewDownload, signal: AbortSignal): Promise<OpenDownload | undefined>
  /** Throws TaskNotFound, TempUrlAbsent, OptionUnsupported. */
  issue(viewer: Viewer, id: TaskId, request: IssueRequest): Promise<Issued>
  /** Throws TaskNotFound, TempUrlAbsent; that it was revoked before is no error. */
  revoke(viewer: Viewer, id: TaskId): Promise<void>
  /** Throws TaskNotFound, TempUrlAbsent. */
  downloads(viewer: Viewer, id: TaskId): Promise<readonly Download[]>
}

export type TempUrlUses = DownloadUses & {
  readonly store: TempUrlStore
  /** Throws TaskNotFound. */
  readonly getTask: (viewer: Viewer, id: TaskId) => Promise<Task>
  readonly deriveKeys: DeriveKeys
  readonly publicUrl: () => string
  /** Of a URL for which nothing else was said. */
  readonly ttlSeconds: number
  readonly maxTtlSeconds: number
}

/** Stands for whatever is no id, so that keys are derived for that too: of a long text none can be. */
const NO_TASK = taskId('00000000-0000-0000-0000-000000000000')

export function createTempUrls(uses: TempUrlUses): TempUrls {
  const { store, getTask } = uses
  const links = new Links(uses.deriveKeys, uses.publicUrl)
  const downloads = new Downloads(uses)

  return {
    async links(tasks) {
      const asked = tasks.filter(({ status, request }) => status === 'success' && request.exportTo === TEMPURL)
      const living = asked.length > 0 ? await store.find(asked.map(({ id }) => id)) : []
      return new Map(living.map((tempUrl) => [tempUrl.taskId, links.url(tempUrl)]))
    },

    async find(text, claimed) {
      const isId = isUuid(text)
      const id = isId ? taskId(text) : NO_TASK
      const [tempUrl] = isId ? await store.find([id]) : []
      return links.admits(id, claimed, tempUrl) ? tempUrl : undefined
    },

    download: (tempUrl, asked, signal) => downloads.start(tempUrl, asked, signal),

    async issue(viewer, id, { ttl_seconds: ttl = uses.ttlSeconds, ip_range: ipRange, revoke_earlier = false }) {
      if (ttl > uses.maxTtlSeconds) {
        throw new OptionUnsupported('/ttl_seconds', `the operator allows at most ${uses.maxTtlSeconds}`)
      }
      if (typeof ipRange === 'string' && !isIpRange(ipRange)) {
        throw new OptionUnsupported('/ip_range', 'it has to be an address, or a network such as 203.0.113.0/24')
      }
      await getTask(viewer, id)
      const extended = await store.extend(viewer, id, { ttlMs: ttl * 1000, ipRange, revokeEarlier: revoke_earlier })
      if (!extended) throw new TempUrlAbsent(id)
      const { tempUrl, until } = extended
      return { url: links.url(tempUrl, until), until, ipRange: tempUrl.ipRange }
    },

    async revoke(viewer, id) {
      await getTask(viewer, id)
      if (!(await store.revoke(viewer, id))) throw new TempUrlAbsent(id)
    },

    async downloads(viewer, id) {
      await getTask(viewer, id)
      const found = await store.downloads(viewer, id)
      if (!found) throw new TempUrlAbsent(id)
      return found
    }
  }
}
