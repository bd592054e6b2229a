import type { Task } from './client.ts'
import type { components } from './schema.d.ts'

type ErrorBody = components['schemas']['Error']

/** The task has ended with `failure`. The message is the service's own: what happened, whose turn it is, what to do. */
export class TaskFailed extends Error {
  override readonly name = 'TaskFailed'
  readonly task: Task
  /** Stable, for programs: `DEST_FORBIDDEN` and the like. */
  readonly code: string
  /** Who has to act. */
  readonly actor: NonNullable<Task['failure']>['actor'] | undefined
  /** Whether the same request may succeed later. */
  readonly retriable: boolean

  constructor(task: Task) {
    super(task.message)
    this.task = task
    this.code = task.failure?.code ?? 'UNKNOWN'
    this.actor = task.failure?.actor
    this.retriable = task.failure?.retriable ?? false
  }
}

/** The service has answered with an error that asking again will not change. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused'
  readonly status: number
  /** Stable, for programs; not every refusal has one. */
  readonly code: string | undefined
  /** What is wrong with a request, field by field. */
  readonly violations: readonly { readonly pointer: string; readonly message: string }[]
  /** To find the request in the service's log. */
  readonly requestId: string | undefined

  /** @param body as it was parsed; of a proxy it may be anything */
  constructor(response: Response, body: unknown) {
    const error = (body as ErrorBody | undefined)?.error
    super(error?.message ?? `the service answered ${response.status}`)
    this.status = response.status
    this.code = error?.failure_code
    this.violations = error?.violations ?? []
    this.requestId = response.headers.get('x-openstack-request-id') ?? undefined
  }
}
