import type { TSchema } from 'typebox'
import type { Config } from '../config.ts'
import type { Destination } from '../destinations/destination.ts'
import type { Destinations } from '../destinations/registry.ts'
import { CHECKSUMS, IF_EXISTS, SIDECARS, VERIFY_LEVELS } from '../domain/export-options.ts'
import { SCRUB_PROFILES } from '../domain/scrub-report.ts'
import { PRIORITIES } from '../domain/task.ts'
import type { TaskStore } from '../export/ports.ts'
import type { ScrubPolicy } from '../export/scrub-policy.ts'
import type { FormatFamily } from '../formats/format-family.ts'
import type { Formats } from '../formats/registry.ts'
import { DEFAULT_LIMIT, MAX_LIMIT } from '../http/answers/paging.ts'
import { BODY_LIMIT } from '../http/app.ts'
import { MAX_DEPTH } from '../http/requests/strict-json.ts'
import type { CapabilitiesOf } from '../http/routes/capabilities.ts'
import { VERSIONS } from '../http/routes/versions.ts'
import { credentialsTitle } from '../http/schemas/export-request.ts'
import { ruleText, SCRUB_PROPERTY } from '../scrub/policy.ts'
import { generalizeSteps } from '../scrub/profiles.ts'

type Uses = {
  readonly config: Config
  readonly tasks: Pick<TaskStore, 'usage'>
  readonly formats: Formats
  readonly destinations: Pick<Destinations, 'all'>
  readonly diskFormats: readonly string[]
  readonly scrubPolicy: ScrubPolicy
}

/** What the service can do, from the parts that do it. */
export function capabilitiesOf({
  config,
  tasks,
  formats,
  destinations,
  diskFormats,
  scrubPolicy
}: Uses): CapabilitiesOf {
  const fixed = {
    service: { name: 'glance-export', versions: [...VERSIONS] },
    source_formats: [...diskFormats],
    export_formats: [...formats.values()].map(formatOf),
    destinations: destinations.all.map(destinationOf),
    receiving_swift_container: config.DEFAULT_SWIFT_URL !== undefined,
    if_exists: [...IF_EXISTS],
    checksums: [...CHECKSUMS, 'content'],
    sidecars: [...SIDECARS],
    verify: [...VERIFY_LEVELS],
    priorities: [...PRIORITIES],
    scrub: scrubOf(scrubPolicy),
    export_denied_by: scrubPolicy.deny.map(ruleText),
    limits: {
      body_bytes: BODY_LIMIT,
      json_depth: MAX_DEPTH,
      page: { default: DEFAULT_LIMIT, maximum: MAX_LIMIT },
      image_bytes: config.MAX_IMAGE_BYTES,
      virtual_bytes: config.MAX_VIRTUAL_BYTES,
      attempts: { default: config.TASK_ATTEMPTS, maximum: config.TASK_ATTEMPTS_MAX },
      deadline_seconds: { default: config.TASK_DEADLINE_SECONDS, maximum: config.TASK_DEADLINE_MAX_SECONDS },
      expires_after_seconds: { default: config.TASK_KEEP_SECONDS, maximum: config.TASK_KEEP_MAX_SECONDS },
      temp_url_seconds: { default: config.TEMP_URL_SECONDS, maximum: config.TEMP_URL_MAX_SECONDS },
      requests_per_minute: { reads: orNone(config.RATE_LIMIT_READS), writes: orNone(config.RATE_LIMIT_WRITES) }
    }
  }
  return async ({ owner }) => {
    const { activeTasks, bytesToday } = await tasks.usage(owner)
    return {
      ...fixed,
      quotas: {
        active_tasks: { limit: orNone(config.QUOTA_ACTIVE_TASKS), used: activeTasks },
        bytes_per_day: { limit: orNone(config.QUOTA_BYTES_PER_DAY), used: bytesToday }
      }
    }
  }
}

function scrubOf({ rules, steps }: ScrubPolicy) {
  const standard = generalizeSteps(rules, steps)
  return {
    profiles: [...SCRUB_PROFILES],
    default: rules.byDefault,
    minimum: rules.minimum,
    minimum_property: SCRUB_PROPERTY,
    steps: steps.map(({ id, about }) => ({
      id,
      about,
      generalizes: standard.includes(id),
      required: rules.required.includes(id)
    })),
    on_unrecognized_os: rules.unknownGuest,
    secrets: rules.secrets
  }
}

const orNone = (limit: number): number | null => (limit === 0 ? null : limit)

function formatOf(family: FormatFamily) {
  const { name, extension, mediaType } = { ...family.choose({}), name: family.name }
  const { level, ...choices } = family.options
  return {
    name,
    extension,
    media_type: mediaType,
    max_virtual_bytes: family.maxVirtualSize,
    options: {
      ...Object.fromEntries(Object.entries(choices).map(([option, values]) => [option, { enum: [...values] }])),
      ...(level && { level: { type: 'integer', minimum: level[0], maximum: level[1] } })
    }
  }
}

const destinationOf = ({ schemes, anonymous, credentialSchemas, objectOptions }: Destination) => ({
  schemes: [...schemes],
  anonymous,
  credentials: credentialSchemas.map(kindOf).map((kind) => ({
    kind,
    schema: `/v2/schemas/export-request#/$defs/${credentialsTitle(kind)}`
  })),
  object_options: [...objectOptions]
})

const kindOf = (schema: TSchema): string =>
  String((schema as { properties?: { kind?: { const?: unknown } } }).properties?.kind?.const)
