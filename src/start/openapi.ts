import { mkdir, writeFile } from 'node:fs/promises'
import { createDestinations } from '../destinations/registry.ts'
import { diskReaders } from '../disks/registry.ts'
import { createFormats } from '../formats/registry.ts'
import { createHashers } from '../hashing/hashers.ts'
import { devIdentity } from '../http/access/identity.ts'
import { buildApp } from '../http/app.ts'

const FOLDER = new URL('../../openapi/', import.meta.url)

/** The files of openapi/ by their names: the API with every format and destination there is, and nothing behind it. */
export async function apiDocuments(): Promise<Readonly<Record<string, string>>> {
  const destinations = createDestinations({ hashers: createHashers(1), allowedNetworks: [], allowedEndpoints: [] })
  const app = buildApp({
    tasks: {
      createExport: unused,
      preflightExport: unused,
      getTask: unused,
      listTasks: unused,
      wholeTasks: unused,
      cancelTask: unused,
      retryExport: unused,
      changeTask: unused,
      removeTask: unused,
      watch: { hasRoom: false, changed: unused, close() {} }
    },
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
    credentialSchemas: destinations.credentialSchemas,
    capabilities: unused
  })
  try {
    await app.ready()
    const served = async (url: string) => (await app.inject({ url, headers: { 'x-auth-token': 'a:b:reader' } })).json()
    return {
      'openapi.json': toText(await served('/openapi.json')),
      'export-request.json': toText(await served('/v2/schemas/export-request')),
      'export-response.json': toText(await served('/v2/schemas/export-response'))
    }
  } finally {
    await app.close()
    destinations.close()
  }
}

const toText = (document: unknown): string => `${JSON.stringify(document, null, 2)}\n`

const unused = (): Promise<never> => Promise.reject(new Error('the description of the API answers no requests'))

if (import.meta.main) {
  await mkdir(FOLDER, { recursive: true })
  for (const [name, text] of Object.entries(await apiDocuments())) await writeFile(new URL(name, FOLDER), text)
}
