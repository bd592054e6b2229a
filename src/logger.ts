import { type Logger, pino } from 'pino'
import { describeError } from './domain/describe-error.ts'

/** The process's log: JSON, one line each, to standard output. Errors are described, never dumped with what they carry. */
export const createLogger = (level: string): Logger =>
  pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: describeError } })
