import type { ScrubStep } from './scrub-step.ts'
import { cloudCredentials } from './steps/cloud-credentials.ts'
import { cloudInit } from './steps/cloud-init.ts'
import { cronSpools } from './steps/cron-spools.ts'
import { firstBoot } from './steps/first-boot.ts'
import { histories } from './steps/histories.ts'
import { lockPasswords } from './steps/lock-passwords.ts'
import { logs } from './steps/logs.ts'
import { machineId } from './steps/machine-id.ts'
import { mailSpools } from './steps/mail-spools.ts'
import { netLeases } from './steps/net-leases.ts'
import { packageCaches } from './steps/package-caches.ts'
import { providerPaths } from './steps/provider-paths.ts'
import { randomSeed } from './steps/random-seed.ts'
import { sshHostKeys } from './steps/ssh-host-keys.ts'
import { sshUserKeys } from './steps/ssh-user-keys.ts'
import { swapFiles } from './steps/swap-files.ts'
import { temporaryFiles } from './steps/temporary-files.ts'

/** Every step, in the order in which they are made. */
export const scrubSteps = (): readonly ScrubStep[] => [
  machineId,
  sshHostKeys,
  sshUserKeys,
  logs,
  histories,
  cloudInit,
  cloudCredentials,
  netLeases,
  packageCaches,
  temporaryFiles,
  swapFiles,
  randomSeed,
  mailSpools,
  cronSpools,
  providerPaths,
  lockPasswords,
  firstBoot
]
