import { imageId, taskId } from '../../../src/domain/ids.ts'
import { LAYOUT_VERSION } from '../../../src/export/content-id.ts'
import type { Servable } from '../../../src/temp-urls/ports.ts'

/** A temporary URL of a kept file. */
export const servable = (change: Partial<Servable> = {}): Servable => ({
  taskId: taskId('43215678-4321-4321-8321-432156789abc'),
  imageId: imageId('deadbeef-dead-4ead-8ead-beefbeefbeef'),
  fileName: 'web 01-43215678.qcow2',
  bytes: 1000,
  sha256: '0'.repeat(64),
  virtual: false,
  layoutVersion: LAYOUT_VERSION,
  generation: 1,
  ipRange: null,
  createdAt: new Date('2026-11-22T06:50:39.700Z'),
  expiresAt: new Date('2026-11-23T06:50:39.700Z'),
  source: { diskFormat: 'raw', size: 1000, sha512: '0'.repeat(128) },
  exportFormat: 'qcow2',
  formatOptions: {},
  ...change
})
