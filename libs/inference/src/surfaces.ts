// What a client may ask, and what of its head never travels on: the same at the gateway and at a cluster's own endpoint.
import { type Role, roleAllows } from '#domain';
import { type OpenAiError, openAiError } from './errors.ts';
import { MIN_VERSION_HEADER } from './min-version.ts';
import type { InferenceSurface } from './routing-fields.ts';

/** Path → what its body must be. */
export const INFERENCE_SURFACES: Readonly<Record<string, InferenceSurface>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'completions',
};

/** Gateway → agent: the stream's usage is wanted, whether or not its client asked for it. */
export const USAGE_HEADER = 'x-atoll-usage';

/** The client's key must not travel on, nor may a client name a replica itself (S6). */
export const CLIENT_HEADERS_DROPPED: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'x-request-id',
  'x-atoll-replica',
  'x-atoll-cluster',
  'x-atoll-path',
  'x-atoll-version',
  'x-atoll-version-number',
  'x-atoll-attempts',
  'x-atoll-choice',
  'x-atoll-retryable',
  USAGE_HEADER,
  MIN_VERSION_HEADER,
]);

export interface ServingMoment {
  readonly isDraining: boolean;
  readonly inflight: number;
  readonly inflightMax: number;
  /** Who is at its bound, as its refusal names it: "This gateway". */
  readonly who: string;
}

/** What stands in the way of a request with a good key, before its body is read; null when nothing does. */
export function inferenceObstacle(method: string | undefined, role: Role, moment: ServingMoment): OpenAiError | null {
  if (method !== 'POST') return openAiError('method_not_allowed', { message: 'Use POST here.' });
  if (!roleAllows(role, 'inference')) {
    return openAiError('permission_denied', { message: `A key of role '${role}' may not infer.` });
  }
  if (moment.isDraining) return openAiError('shutting_down');
  if (moment.inflight >= moment.inflightMax) {
    return openAiError('engine_overloaded', { message: `${moment.who} is at its bound of requests in flight.` });
  }
  return null;
}

/** 413, saying the bound. */
export function bodyTooLarge(bytesMax: number): OpenAiError {
  return openAiError('body_too_large', {
    message: `The request body is too large; at most ${bytesMax} bytes are allowed.`,
  });
}

/** Path of a request's url, without its query. */
export function pathOf(url: string | undefined): string {
  const text = url ?? '';
  const query = text.indexOf('?');
  return query === -1 ? text : text.slice(0, query);
}
