import { Client } from '../../test/support/service.ts'
import { startService } from '../service.ts'
import { IMAGES } from './side.ts'

// The service with what belongs to it, all on the core that this process is pinned to: FOLDER PROJECT [FLAGS OF ITS NODE].
// Prints where it is.
const [folder = '', project = '', ...httpFlags] = process.argv.slice(2)
// Requests are counted as ever, and no limit is reached.
const env = { RATE_LIMIT_READS: '1000000000', RATE_LIMIT_WRITES: '1000000000' }
const service = await startService(folder, { env, httpFlags, dropLog: true })
const client = new Client(service.url, `bench:${project}:member`)
const images: string[] = []
while (images.length < IMAGES) images.push(await client.upload(Buffer.alloc(1 << 20, 'disk'), 'raw'))
console.log(JSON.stringify({ url: service.url, databaseUrl: service.databaseUrl, images }))
process.once('SIGTERM', () => service.stop())
