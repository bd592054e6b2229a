import { removing } from '../removing.ts'
import type { ScrubStep } from '../scrub-step.ts'

export const randomSeed: ScrubStep = {
  id: 'random-seed',
  about: 'the seed from which two machines would draw the same random numbers',
  generalizes: true,
  changes: (files) =>
    removing(files, ['/var/lib/systemd/random-seed', '/var/lib/urandom/random-seed', '/var/lib/random-seed'])
}
