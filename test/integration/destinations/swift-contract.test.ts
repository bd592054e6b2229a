import { afterAll, beforeAll } from 'vitest'
import { createHashers } from '../../../src/hashing/hashers.ts'
import { describeDestination } from '../../contracts/destination.contract.ts'
import { describeWithPeers } from '../../peers/peer.ts'
import { startSwift } from '../../peers/swift.ts'
import { TestAccount } from './swift-account.ts'
import { contractHarness } from './swift-harness.ts'

const hashers = createHashers(1)
afterAll(() => hashers.close())

describeWithPeers(['swift'], 'real Swift', () => {
  let account: TestAccount
  beforeAll(async () => {
    account = await TestAccount.v1((await startSwift()).authUrl, 'test:tester', 'testing')
  })
  const credentials = (port: number) => ({
    kind: 'tempauth',
    auth_url: `http://127.0.0.1:${port}/auth/v1.0`,
    user: 'test:tester',
    key: 'testing'
  })

  describeDestination(
    'swift, in one request',
    (limits) => contractHarness({ hashers, account, credentials, limits }, false),
    { resumes: false }
  )
  describeDestination('swift, in segments', (limits) =>
    contractHarness({ hashers, account, credentials, limits }, true)
  )
})
