import { emptying } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

const FOLDERS = [
  '/tmp',
  '/var/tmp',
  '/var/crash',
  '/var/lib/systemd/coredump',
  '/var/lib/apport/coredump',
  '/var/spool/abrt'
]

export const temporaryFiles: ScrubStep = {
  id: 'temporary-files',
  about: 'temporary files, reports of crashes, and the memory of programs that has gone into them',
  generalizes: true,
  changes: (files) => emptying(files, FOLDERS)
}
