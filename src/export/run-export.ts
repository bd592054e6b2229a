import type { Destination, UploadTarget } from '../destinations/destination.ts'
import type { Destinations } from '../destinations/registry.ts'
import { objectUrl, parseTarget } from '../destinations/target.ts'
import type { DiskLimits } from '../disks/disk.ts'
import { assertBareDisk, openDisk } from '../disks/inspect.ts'
import type { DiskReaders } from '../disks/registry.ts'
import { FormatUnsupported, SourceChanged } from '../domain/errors.ts'
import type { ExportResult } from '../domain/task.ts'
import { chooseFormat } from '../formats/format-family.ts'
import type { Formats } from '../formats/registry.ts'
import type { ImageSource } from '../images/image-source.ts'
import type { Engine } from '../pipeline/engine.ts'
import { prepareShipment } from '../pipeline/shipment.ts'
import { Attempt, DeadlinePassed, type LeaseTimes, WorkerStopping } from './attempt.ts'
import { endingOf } from './endings.ts'
import { type Claim, type Clock, LeaseLost, type Log, type TaskStore, type Vault } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'

export type RunUses = {
  readonly tasks: TaskStore
  readonly images: ImageSource
  readonly readers: DiskReaders
  readonly limits: DiskLimits
  readonly formats: Formats
  readonly engine: Engine
  readonly destinations: Destinations
  readonly vault: Vault
  readonly times: LeaseTimes
  readonly clock: Clock
  readonly log: Log
  readonly workerId: string
}

/**
 * Answers one ring of the doorbell: takes the task that has been due longest, whichever that is, and runs it to an end, to its
 * next attempt, or until the lease is lost.
 * @param stopping fires when the worker is asked to stop: the task goes back to the queue and the attempt is not counted
 */
export function runNextExport(uses: RunUses) {
  return async (stopping: AbortSignal): Promise<'idle' | 'ran'> => {
    const claimedAt = uses.clock()
    const claim = await uses.tasks.claimDue(uses.workerId)
    if (!claim) return 'idle'
    using attempt = new Attempt(claim, claimedAt, { ...uses, stopping })
    const about = { taskId: claim.task.id, attempt: claim.task.attempts }
    uses.log.info(about, 'export started')
    try {
      const result = await runAttempt(uses, attempt)
      await uses.tasks.settleSuccess(claim, result)
      uses.log.info({ ...about, bytes: result.bytes, seconds: result.durationSeconds }, 'export succeeded')
    } catch (error) {
      await settle(uses, attempt, error)
    }
    return 'ran'
  }
}

async function runAttempt(uses: RunUses, attempt: Attempt): Promise<ExportResult> {
  const { claim, signal } = attempt
  const startedAt = uses.clock()
  const { destination, target } = whereTo(uses, claim)
  if (claim.uploadState)
    await destination.discard(target({ length: 0, exact: true, mediaType: '' }), claim.uploadState, signal)
  if (claim.spent === 'deadline') throw new DeadlinePassed()
  if (claim.spent === 'attempts') throw new Error('every attempt was lost with its worker')

  const format = formatOf(uses, claim)
  await using disk = await openSource(uses, claim, signal)
  if (format.bare) await assertBareDisk(disk, claim.source.diskFormat)
  const meter = new ProgressMeter((progress) => {
    attempt.progress = progress
  })
  const file = await prepareShipment({ disk, format }, destination, uses.engine, signal, meter.measuring)

  const upload = await destination.open(target({ ...file, mediaType: format.mediaType }), signal)
  try {
    attempt.phase = 'transferring'
    await uses.tasks.startTransfer(claim, meter.sending(file), upload.state)
    const sent = await file.send(meter.counted(upload), signal, meter.share)
    await attempt.renew() // nobody else may have begun by the time the object appears
    const location = await upload.commit(signal)
    const durationSeconds = Math.round(uses.clock() - startedAt) / 1000
    return { ...sent, location, virtualSize: disk.virtualSize, durationSeconds }
  } catch (error) {
    // Whoever holds the lease now removes what we leave: the name of the object is the same, and it may be theirs already.
    if (!(error instanceof LeaseLost))
      await upload
        .abort()
        .catch((err) => uses.log.warn({ taskId: claim.task.id, err }, 'partial upload could not be removed'))
    throw error
  }
}

function formatOf(uses: RunUses, { task }: Claim) {
  const family = uses.formats.get(task.request.exportFormat)
  if (!family) throw new FormatUnsupported([...uses.formats.keys()])
  return chooseFormat(family, task.request.formatOptions)
}

/** The image as a disk, if it is the one the task was made for and passes inspection. */
async function openSource(uses: RunUses, { task, source }: Claim, signal: AbortSignal) {
  const file = await uses.images.open(task.request.imageId, signal)
  try {
    if (file.size !== source.size) throw new SourceChanged(source.size, file.size)
    return await openDisk(file, source.diskFormat, uses.limits, uses.readers)
  } catch (error) {
    await file[Symbol.asyncDispose]()
    throw error
  }
}

function whereTo(
  uses: RunUses,
  { task, sealed }: Claim
): { destination: Destination; target: (facts: Omit<UploadTarget, 'url' | 'credentials'>) => UploadTarget } {
  const place = parseTarget(task.request.exportTo)
  const credentials = sealed ? uses.vault.open(task.id, task.owner, sealed) : undefined
  return {
    destination: uses.destinations.forTarget(place),
    target: ({ length, exact, mediaType }) => ({
      url: objectUrl(place, task.exportId),
      credentials,
      length,
      exact,
      mediaType
    })
  }
}

/** Writes down how the attempt ended. When even that fails, the lease runs out and the sweep finds the task. */
async function settle(uses: RunUses, attempt: Attempt, error: unknown): Promise<void> {
  const { claim, signal } = attempt
  // What was thrown because the signal fired is only its echo: the reason of the signal is the cause.
  const cause = signal.aborted && !(error instanceof LeaseLost) ? signal.reason : error
  const ending = endingOf(cause, claim, attempt.phase)
  const about = { taskId: claim.task.id, attempt: claim.task.attempts, err: cause }
  try {
    if (ending.status === 'lost') {
      uses.log.warn(about, 'export lost to another worker')
    } else if (ending.status === 'again') {
      await uses.tasks.release(claim, ending)
      if (cause instanceof WorkerStopping) uses.log.info({ ...about, err: undefined }, 'export handed back')
      else uses.log.warn({ ...about, delayMs: ending.delayMs }, 'export will be tried again')
    } else {
      await uses.tasks.settleFailure(claim, ending.message, ending.failure)
      uses.log[ending.failure.code === 'INTERNAL' ? 'error' : 'warn'](
        { ...about, code: ending.failure.code },
        'export failed'
      )
    }
  } catch (settleError) {
    uses.log.error({ ...about, settleError }, 'the end of an attempt could not be written')
  }
}
