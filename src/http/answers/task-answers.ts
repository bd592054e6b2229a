import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TaskId } from '../../domain/ids.ts'
import { isTerminal, type Task } from '../../domain/task.ts'
import type { TempUrls } from '../../temp-urls/temp-urls.ts'
import { viewerOf } from '../access/guard.ts'
import { preferredWait } from '../requests/prefer.ts'
import type { TaskAnswer } from '../schemas/task.ts'
import type { TaskUses } from '../uses.ts'
import { toWire } from '../wire/task.ts'
import { whenGone } from './client-gone.ts'
import { etagOf, namesEtag } from './etag.ts'

/** `text` is the body as it is sent, of which the ETag speaks; `revision` is the ETag without the place in the queue. */
type Shown = {
  readonly task: Task
  readonly body: TaskAnswer
  readonly text: string
  readonly etag: string
  readonly revision: string
}

type AnswerUses = {
  readonly tasks: Pick<TaskUses, 'getTask' | 'watch'>
  readonly tempUrls: Pick<TempUrls, 'links'>
  /** For how long a request may be held at most. */
  readonly waitSeconds: number
}

/** In the ETag of a task that waits: who changes it does not mind that others before it have left the queue. */
const PLACE = /\.\d+"/g

/** Answers with one task: its ETag, when to ask again, and waiting for news. */
export class TaskAnswers {
  readonly #uses: AnswerUses

  constructor(uses: AnswerUses) {
    this.#uses = uses
  }

  async send(reply: FastifyReply, status: 200 | 201 | 202, task: Task): Promise<FastifyReply> {
    return sendShown(reply.code(status), await this.#shown(task))
  }

  /** The task as it is: at once, or, with If-None-Match and `Prefer: wait`, as soon as it is another one. */
  async show(request: FastifyRequest, reply: FastifyReply, id: TaskId): Promise<FastifyReply> {
    const { 'if-none-match': known } = request.headers
    const isKnown = ({ etag }: Shown) => known !== undefined && namesEtag(known, etag, 'weakly')
    const now = await this.#shown(await this.#uses.tasks.getTask(viewerOf(request), id))
    const shown = known === undefined ? now : await this.#wait(request, reply, now, (shown) => !isKnown(shown))
    const { task, body, etag } = shown
    if (!isTerminal(task.status)) reply.header('retry-after', pauseSeconds(task))
    if (isKnown(shown)) return reply.code(304).header('etag', etag).send(null)
    if (body.progress) reply.header('x-export-percent', body.progress.percent)
    return sendShown(reply, shown)
  }

  /** A new task; with `Prefer: wait`, once it is known whether it begins well. */
  async created(request: FastifyRequest, reply: FastifyReply, task: Task): Promise<FastifyReply> {
    reply.code(201).header('location', `/v2/tasks/${task.id}`)
    return sendShown(reply, await this.#wait(request, reply, await this.#shown(task), ({ task }) => isChecked(task)))
  }

  /** Whether a request with this If-Match is about the task as it is now. @returns the version it is about */
  async matched(request: FastifyRequest, id: TaskId): Promise<{ readonly ok: boolean; readonly version?: number }> {
    const { 'if-match': known } = request.headers
    if (known === undefined) return { ok: true }
    const { task, revision } = await this.#shown(await this.#uses.tasks.getTask(viewerOf(request), id))
    if (known.trim() === '*') return { ok: true }
    return { ok: namesEtag(known.replace(PLACE, '"'), revision), version: task.version }
  }

  /** Until the task is what is wanted, the time is over, or the client has gone. Where too many wait already: not at all. */
  async #wait(
    request: FastifyRequest,
    reply: FastifyReply,
    first: Shown,
    isWanted: (shown: Shown) => boolean
  ): Promise<Shown> {
    const { getTask, watch } = this.#uses.tasks
    const seconds = preferredWait(request.headers.prefer, this.#uses.waitSeconds)
    if (seconds === 0 || !watch.hasRoom) return first
    reply.header('preference-applied', `wait=${seconds}`)
    const until = performance.now() + seconds * 1000
    const gone = whenGone(reply)
    let shown = first
    while (!isWanted(shown)) {
      const { id, version } = shown.task
      const news = await watch.changed(id, version, until - performance.now(), gone)
      if (news === 'none') break
      shown = await this.#shown(await getTask(viewerOf(request), id))
    }
    return shown
  }

  async #shown(task: Task): Promise<Shown> {
    const body = toWire(task, (await this.#uses.tempUrls.links([task])).get(task.id))
    const text = JSON.stringify(body)
    const { queue } = body
    const revision = etagOf(queue ? JSON.stringify({ ...body, queue: null }) : text)
    return { task, body, text, revision, etag: queue ? revision.replace(/"$/, `.${queue.position}"`) : revision }
  }
}

const sendShown = (reply: FastifyReply, { etag, text }: Shown): FastifyReply =>
  reply.header('etag', etag).type('application/json; charset=utf-8').send(text)

/** It has ended, begins to send, or its first attempt has ended in another way. */
const isChecked = ({ status, startedAt, progress }: Task): boolean =>
  isTerminal(status) ||
  status === 'transferring' ||
  (status === 'queued' ? startedAt !== null : progress?.phase !== undefined && !BEFORE.has(progress.phase))

const BEFORE = new Set<string>(['preflight', 'inspecting'])

/** Seconds until it is worth asking again: what goes on for long does not end in a moment. */
function pauseSeconds({ createdAt }: Task): number {
  const minutes = (Date.now() - createdAt.getTime()) / 60_000
  if (minutes < 1) return 2
  return minutes < 10 ? 5 : minutes < 60 ? 15 : 30
}
