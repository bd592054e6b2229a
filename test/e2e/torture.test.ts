import { expect, it } from 'vitest'
import { runCampaign } from '../../torture/campaign.ts'
import { countsFor } from '../../torture/faults.ts'

// A short one of `npm run torture`: always the same, and not everything that can go wrong.

it('whatever dies, every task ends once, the right way, with nothing left behind', { timeout: 300_000 }, async ({
  signal
}) => {
  const counts = {
    ...countsFor(0, {}),
    'kill -9 of a worker': 4,
    'kill -9 of the API': 1,
    'worker stopped for longer than its lease, then continued': 1,
    'SIGTERM to a worker': 1,
    'the queue loses everything': 1,
    'database killed, and started again': 1,
    'the destination fails': 1,
    'a project cancels everything': 1,
    'an image is exported and deleted at the same time': 1
  }

  const result = await runCampaign({ seed: 6, minutes: 0.25, counts, queue: 'redis', signal, say: () => {} })

  expect(result.verdict.violations).toEqual([])
  expect(result.deaths.filter(({ how }) => how === 'killed').length).toBeGreaterThanOrEqual(4)
  expect(result.rows.filter(({ status }) => status === 'success').length).toBeGreaterThan(8)
  expect(result.rows.some(({ attempts }) => attempts > 1)).toBe(true)
})
