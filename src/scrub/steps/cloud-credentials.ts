import { inHomes } from '../homes.ts'
import type { ScrubStep } from '../scrub-step.ts'

const FOLDERS = ['.aws', '.config/gcloud', '.azure', '.kube', '.config/openstack', '.oci']

export const cloudCredentials: ScrubStep = {
  id: 'cloud-credentials',
  about: "users' credentials for clouds: .aws, .config/gcloud, .azure, .kube, .config/openstack, .oci",
  generalizes: true,
  async *changes(files) {
    for await (const { path } of inHomes(files, FOLDERS)) yield { kind: 'remove', path }
  }
}
