import { expect, it } from 'vitest'
import { isDatabaseTrouble } from '../../../src/domain/database-trouble.ts'

it.each([
  ['a lost connection', { code: '08006' }, true],
  ['no connections left', { code: '53300' }, true],
  ['a server that starts', { code: '57P03' }, true],
  ['a deadlock', { code: '40P01' }, true],
  ['a lock that others hold', { code: '55P03' }, true],
  ['a server that is read only', { code: '25006' }, true],
  ['a socket that nobody listens on', { code: 'ECONNREFUSED', syscall: 'connect' }, true],
  ['a connection that broke before', new Error('Client has encountered a connection error and is not queryable'), true],
  [
    'a server that takes a connection and says nothing',
    new Error('Connection terminated due to connection timeout'),
    true
  ],
  ['a file that is not there', { code: 'ENOENT', syscall: 'open' }, false],
  ['a value that a column does not take', { code: '22P02' }, false],
  ['an error of ours', new TypeError('undefined is not a function'), false]
])('%s: %o, trouble of the database: %s', (_what, error, expected) => {
  expect(isDatabaseTrouble(error)).toBe(expected)
})
