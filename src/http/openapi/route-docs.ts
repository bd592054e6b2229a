/** What the API's document says of the routes of one tag; `more` is the same for all of them. */
export const docsOf =
  <More extends object>(tag: string, more: More) =>
  (operationId: string, summary: string, description = `${summary}.`) => ({
    operationId,
    summary,
    description,
    tags: [tag],
    ...more
  })

/** Discovery and health need no token. */
export const serviceDocs = docsOf('service', { security: [] })
