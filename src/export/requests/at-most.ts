import { PreflightsBusy } from '../../domain/request-errors.ts'

/** Runs so many at once and no more. @throws PreflightsBusy for the next */
export function atMost<Given extends unknown[], Made>(
  max: number,
  run: (...given: Given) => Promise<Made>
): (...given: Given) => Promise<Made> {
  let running = 0
  return async (...given) => {
    if (running >= max) throw new PreflightsBusy()
    running++
    try {
      return await run(...given)
    } finally {
      running--
    }
  }
}
