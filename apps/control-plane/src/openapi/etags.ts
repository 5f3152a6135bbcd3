/** What has a revision is answered with it as ETag (`tagged`), by every route that a key may call. */

import type { Operation } from './refusals.ts';

const ETAG = { ETag: { description: 'Its revision, for If-Match', schema: { type: 'string' } } } as const;

export function documentEtags(paths: Readonly<Record<string, object>>): void {
  const operations = Object.values(paths).flatMap((path) => Object.values(path) as Operation[]);
  for (const { security, responses = {} } of operations) {
    if (security === undefined) continue;
    for (const [status, response] of Object.entries(responses)) {
      if (status.startsWith('2') && hasRevision(response.content)) response.headers = { ...response.headers, ...ETAG };
    }
  }
}

function hasRevision(content: Readonly<Record<string, unknown>> | undefined): boolean {
  const body = content?.['application/json'] as { schema?: { properties?: object } } | undefined;
  return 'revision' in (body?.schema?.properties ?? {});
}
