import { join } from 'node:path'
import { ConfigInvalid } from '../config.ts'
import { rotateKeys } from '../vault/key-file.ts'
import { runOnce } from './service.ts'

// Makes a new key-encryption key the current one, then ends. Workers have to know it before the API seals with it.
await runOnce({ split: false }, async (config, log) => {
  if (config.KEK) throw new ConfigInvalid(['KEK is rotated where it is set: put the new key in front of the others'])
  const { current, byId } = await rotateKeys(config.KEK_FILE ?? join(config.DATA_DIR, 'kek.json'))
  log.info({ current, keys: [...byId.keys()] }, 'key added: restart the workers, then the API')
})
