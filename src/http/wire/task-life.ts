import { SCRUB_STAGES, type ScrubStage } from '../../domain/scrub-report.ts'
import { type Failure, isTerminal, type Progress, type Task } from '../../domain/task.ts'
import type { TaskAnswer } from '../schemas/task.ts'
import { toWireTime } from './time.ts'

/** What goes on, finer than the status. */
export function phaseOf(task: Task): string | null {
  const { status, failure, cancel, progress } = task
  if (isTerminal(status)) return failure?.phase ?? null
  if (cancel) return 'canceling'
  return status === 'queued' ? waitingFor(task) : (progress?.phase ?? status)
}

/** Who has been tried has a message to say why it waits; who was handed back, none. */
function waitingFor({ attempts, message, startedAt, ahead }: Task): string {
  if (attempts > 0 || message !== '') return 'waiting_retry'
  return startedAt || (ahead ?? 0) > 0 ? 'waiting_slot' : 'accepted'
}

/** Sent is not done: 100 % is said at success and never before. */
export function toProgress({ status, progress, result }: Task): TaskAnswer['progress'] {
  if (!progress) return null
  const at = new Date(progress.at)
  const { secondsLeft } = progress
  return {
    bytes_total: progress.total ?? result?.bytes ?? null,
    bytes_read: progress.data + progress.zero,
    bytes_data: progress.data,
    bytes_zero: progress.zero,
    bytes_sent: progress.sent,
    bytes_acked: progress.acked,
    bytes_resent: progress.resent ?? 0,
    rate_bps: progress.bytesPerSecond,
    eta_seconds: secondsLeft,
    eta: secondsLeft === null ? null : toWireTime(new Date(at.getTime() + secondsLeft * 1000)),
    percent: status === 'success' ? 100 : shownPercent(progress),
    stalled: progress.stalled,
    throttled: progress.throttled,
    scrub: progress.scrub ? { ...progress.scrub } : null,
    updated_at: toWireTime(at)
  }
}

/** What there is to say to people. */
export function messageOf(task: Task): string {
  const { message, progress } = task
  const scrub = !isTerminal(task.status) && phaseOf(task) === 'scrubbing' ? progress?.scrub : undefined
  return scrub ? `The image is being scrubbed: ${doing(scrub.step)} (${scrub.done} of ${scrub.of} done).` : message
}

const STAGES: Readonly<Record<ScrubStage, string>> = {
  checking: 'looking at its file systems',
  secrets: 'looking for secrets',
  settling: 'checking its file systems after the changes',
  'free-space': 'looking for what no file needs'
}

function doing(step: string): string {
  const stage = SCRUB_STAGES.find((one) => one === step)
  if (stage) return STAGES[stage]
  return step.startsWith('custom/') ? `the operator's step ${step.slice('custom/'.length)}` : `the step ${step}`
}

const shownPercent = ({ percent }: Progress): number => Math.min(Math.floor(percent * 10) / 10, 99.9)

export const toQueue = ({ ahead }: Task): TaskAnswer['queue'] =>
  ahead === null ? null : { position: ahead + 1, ahead }

export const toFailure = ({ hint, upstream, ...failure }: Failure): NonNullable<TaskAnswer['failure']> => ({
  ...failure,
  hint: hint ?? null,
  upstream: upstream ? { status: upstream.status ?? null, host: upstream.host } : null
})
