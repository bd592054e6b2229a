import { describe, expect, it } from 'vitest'
import { NO_OPTIONS } from '../../../src/domain/export-options.ts'
import { NO_LABELS } from '../../../src/domain/task.ts'
import { checkLimits } from '../../../src/export/requests/check-limits.ts'

const NOW = new Date('2026-11-22T06:00:00Z')
const maxima = { attempts: 5, deadlineSeconds: 3600, keepSeconds: 7200 }

const check =
  (limits: object, keepSeconds: number | null = null, exportTo = 's3://b') =>
  () =>
    checkLimits(exportTo, { ...NO_OPTIONS, limits }, { ...NO_LABELS, keepSeconds }, maxima, NOW)

describe('limits of a task', () => {
  it.each([
    [{}, null],
    [{ max_attempts: 5, deadline: '2026-11-22T07:00:00Z' }, 7200],
    [{ deadline: '2026-11-22T08:30:00+02:00' }, 60]
  ])("may be up to the operator's: %j, kept %s", (limits, keepSeconds) => {
    expect(check(limits, keepSeconds)).not.toThrow()
  })

  it.each([
    [{ max_attempts: 6 }, null, '/limits/max_attempts', 'the operator allows at most 5'],
    [{ deadline: '2026-11-22T07:00:01Z' }, null, '/limits/deadline', 'at most 3600 seconds from now'],
    [{ deadline: '2026-11-22T06:00:00Z' }, null, '/limits/deadline', 'it has passed'],
    [{ deadline: '2026-13-22T06:00:00Z' }, null, '/limits/deadline', 'it is not a time that exists'],
    [{ deadline: '2026-11-31T06:00:00Z' }, null, '/limits/deadline', 'it is not a time that exists'],
    [{}, 7201, '/expires_after_seconds', 'the operator allows at most 7200']
  ])('are refused beyond: %j, kept %s', (limits, keepSeconds, pointer, why) => {
    expect(check(limits, keepSeconds)).toThrow(
      expect.objectContaining({ code: 'OPTION_UNSUPPORTED', pointer, message: expect.stringContaining(why) })
    )
  })

  it('leave the life of a temporary URL to temp_url', () => {
    expect(check({}, 60, 'tempurl:')).toThrow('use temp_url.ttl_seconds')
    expect(check({}, null, 'tempurl:')).not.toThrow()
  })
})
