import { removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

export const cronSpools: ScrubStep = {
  id: 'cron-spools',
  about: 'what users have told cron and at to run; /etc/cron.d and its like stay',
  generalizes: true,
  changes: (files) =>
    removing(files, [
      '/var/spool/cron/crontabs/*',
      '/var/spool/cron/atjobs/*',
      '/var/spool/cron/atspool/*',
      '/var/spool/cron/tabs/*',
      '/var/spool/at/*',
      '/var/spool/at/spool/*'
    ])
}
