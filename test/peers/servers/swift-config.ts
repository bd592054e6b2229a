import type { Keystone } from '../keystone.ts'

export type Place = { readonly folder: string; readonly etc: string; readonly user: string }

export const swiftConf = (maxFileSize: number) => `
[swift-hash]
swift_hash_path_suffix = test-suffix
swift_hash_path_prefix = test-prefix
[storage-policy:0]
name = Policy-0
default = yes
aliases = standard
[swift-constraints]
max_file_size = ${maxFileSize}
`

const common = (port: number, { etc, user }: Place) => `
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${user}
swift_dir = ${etc}
log_level = WARNING
`

/** Without fallocate_reserve a disk that is rather full would answer 507. */
export const storageConfig = (kind: 'object' | 'container' | 'account', port: number, place: Place) => `
${common(port, place)}
devices = ${place.folder}/srv
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
[pipeline:main]
pipeline = ${kind}-server
[app:${kind}-server]
use = egg:swift#${kind}
replication_server =
allow_versions = true
[${kind}-replicator]
recon_cache_path = ${place.folder}/cache
`

/** How a proxy knows its users: names for the pipeline, and the filters by these names. */
type Login = { readonly pipeline: string; readonly filters: string }

export const tempauthProxy: Login = {
  pipeline: 's3api tempauth',
  filters: `
[filter:tempauth]
use = egg:swift#tempauth
reseller_prefix = AUTH
storage_url_scheme = http
token_life = 86400
user_admin_admin = admin .admin .reseller_admin
user_test_tester = testing .admin
user_test_reader = testing
user_test2_tester2 = testing2 .admin
`
}

/** S3 tokens want a login of the service itself, too. */
export function keystoneProxy({ keystoneUrl, users }: Keystone, memcachedPort: number): Login {
  const { service } = users
  const login = `
auth_url = ${keystoneUrl}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = ${service.project}
username = ${service.name}
password = ${service.password}`
  return {
    pipeline: 'authtoken s3api s3token keystoneauth',
    filters: `
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = ${keystoneUrl}
delay_auth_decision = True
memcached_servers = 127.0.0.1:${memcachedPort}
token_cache_time = 5
include_service_catalog = False ${login}
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
reseller_admin_role = ResellerAdmin
reseller_prefix = AUTH
[filter:s3token]
use = egg:swift#s3token
auth_uri = ${keystoneUrl}
reseller_prefix = AUTH_
delay_auth_decision = False
http_timeout = 10.0 ${login}
`
  }
}

export const proxyConfig = (port: number, memcachedPort: number, place: Place, login: Login) => `
${common(port, place)}
client_timeout = 60
strict_cors_mode = false
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl formpost ${login.pipeline} copy container-quotas account-quotas slo dlo versioned_writes symlink proxy-logging proxy-server
${login.filters}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
node_timeout = 30
conn_timeout = 2
recheck_account_existence = 0
recheck_container_existence = 0
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${memcachedPort}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
allowed_digests = sha1 sha256 sha512
[filter:formpost]
use = egg:swift#formpost
[filter:copy]
use = egg:swift#copy
[filter:container-quotas]
use = egg:swift#container_quotas
[filter:account-quotas]
use = egg:swift#account_quotas
[filter:slo]
use = egg:swift#slo
min_segment_size = 1
max_manifest_segments = 1000
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
force_swift_request_proxy_log = false
auth_pipeline_check = true
check_bucket_owner = false
min_segment_size = 5242880
max_upload_part_num = 10000
allow_multipart_uploads = true
`
