import { mkdir, writeFile } from 'node:fs/promises'
import { createDestinations } from '../destinations/registry.ts'
import { diskReaders } from '../disks/registry.ts'
import { createFormats } from '../formats/registry.ts'
import { createHashers } from '../hashing/hashers.ts'
import { buildApp } from '../http/app.ts'
import { devIdentity } from '../http/identity.ts'

const FILE = new URL('../../openapi/openapi.json', import.meta.url)

/** The text of openapi/openapi.json: the API with every format and destination there is, and nothing behind it. */
export async function openapiDocument(): Promise<string> {
  const destinations = createDestinations({ hashers: createHashers(1), allowedNetworks: [], allowedEndpoints: [] })
  const app = buildApp({
    tasks: { createExport: unused, preflightExport: unused, getTask: unused, listTasks: unused },
    tempUrls: {
      links: unused,
      find: unused,
      download: unused,
      issue: unused,
      revoke: unused,
      downloads: unused
    },
    images: {
      createImage: unused,
      getImage: unused,
      listImages: unused,
      updateImage: unused,
      uploadImage: unused,
      readImage: unused,
      deleteImage: unused
    },
    health: { ready: unused },
    identity: devIdentity,
    publicUrl: () => 'http://127.0.0.1:9292',
    formats: [...createFormats().keys()],
    diskFormats: [...diskReaders().keys()],
    credentialSchemas: destinations.credentialSchemas
  })
  try {
    await app.ready()
    return `${JSON.stringify(app.swagger(), null, 2)}\n`
  } finally {
    await app.close()
    destinations.close()
  }
}

const unused = (): Promise<never> => Promise.reject(new Error('the description of the API answers no requests'))

if (import.meta.main) {
  await mkdir(new URL('.', FILE), { recursive: true })
  await writeFile(FILE, await openapiDocument())
}
