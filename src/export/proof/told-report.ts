import type { ScrubReport } from '../../domain/scrub-report.ts'

/** A report in the words of the API and of manifests. */
export type ToldReport = {
  readonly profile: ScrubReport['profile']
  readonly guest: { readonly kind: ScrubReport['guest']['kind']; readonly name?: string }
  readonly path: ScrubReport['path']
  readonly steps: { id: string; changed: boolean; files: number; bytes: number; skipped?: string }[]
  readonly kept: { id: string; why: string }[]
  readonly secrets: { rule: string; path: string }[]
  readonly partitions: {
    offset: number
    bytes: number
    file_system: string
    free_bytes: number
    why?: string
    files_left?: string
  }[]
  readonly freed_bytes: number
  readonly overlay_bytes: number
  readonly digest: string
  readonly tools: Readonly<Record<string, string>>
  readonly seconds: number
  readonly custom?: { id: string; exit_code: number; files?: number; note?: string }[]
}

export const toldReport = (report: ScrubReport): ToldReport => ({
  profile: report.profile,
  guest: { ...report.guest },
  path: report.path,
  steps: report.steps.map((step) => ({ ...step })),
  kept: report.kept.map((one) => ({ ...one })),
  secrets: report.secrets.map((one) => ({ ...one })),
  partitions: report.partitions.map(({ fileSystem, freeBytes, filesLeft, ...partition }) => ({
    ...partition,
    file_system: fileSystem,
    free_bytes: freeBytes,
    ...(filesLeft !== undefined && { files_left: filesLeft })
  })),
  freed_bytes: report.freedBytes,
  overlay_bytes: report.overlayBytes,
  digest: report.digest,
  tools: { ...report.tools },
  seconds: report.seconds,
  ...(report.custom && {
    custom: report.custom.map(({ exitCode, ...one }) => ({ ...one, exit_code: exitCode }))
  })
})
