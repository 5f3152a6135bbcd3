import { createHash } from 'node:crypto';
import { canonicalJson } from '#domain';

/** SHA-256 of the canonical JSON, lower-case hex. */
export function contentHash(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}

/**
 * JSON text that Postgres can hold: a NUL or half a surrogate pair, which jsonb refuses, becomes U+FFFD. For what other
 * machines report, so that one odd character in a reason cannot make a cluster's reports unstorable.
 */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value);
  if (!UNSTORABLE_ESCAPES.test(text)) return text;
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'string' ? part.toWellFormed().replaceAll('\0', '\uFFFD') : part,
  );
}

/** How JSON writes them; also found in the text `\\u0000` that is none, which costs only time. */
const UNSTORABLE_ESCAPES = /\\u(0000|d[89a-f])/;
