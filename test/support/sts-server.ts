import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

type AskedRole = { readonly keyId: string | undefined; readonly form: Readonly<Record<string, string>> }

/**
 * The part of AWS's token service that assumes roles. Every session has a new key id; the one before is over at once, as
 * if its time had come.
 */
export async function stsServer(settings: {
  /** Told of every session. */
  readonly onSession: (keyId: string, token: string) => void
  readonly lifeMs: number
  /** Refuses with this status and code. */
  readonly refusal?: { readonly status: number; readonly code: string }
}) {
  const asked: AskedRole[] = []
  const server = createServer(async (request, response) => {
    const form = Object.fromEntries(new URLSearchParams(await text(request)))
    const [, keyId] = /Credential=([^/]+)\/[^,]*\/sts\/aws4_request,/.exec(request.headers.authorization ?? '') ?? []
    asked.push({ keyId, form })
    const answer = (status: number, body: string) =>
      response.writeHead(status, { 'content-type': 'text/xml' }).end(`<?xml version="1.0"?>${body}`)
    const { refusal } = settings
    if (refusal) {
      return answer(
        refusal.status,
        `<ErrorResponse><Error><Code>${refusal.code}</Code><Message>hostile</Message></Error></ErrorResponse>`
      )
    }
    const [id, token] = [`ASIA${asked.length}`, `session-${randomUUID()}`]
    settings.onSession(id, token)
    const expiration = new Date(Date.now() + settings.lifeMs).toISOString()
    return answer(
      200,
      `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
        <AccessKeyId>${id}</AccessKeyId><SecretAccessKey>session-secret</SecretAccessKey>
        <SessionToken>${token}</SessionToken><Expiration>${expiration}</Expiration>
      </Credentials></AssumeRoleResult></AssumeRoleResponse>`
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}
