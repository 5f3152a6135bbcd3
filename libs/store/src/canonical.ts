import { createHash } from 'node:crypto';
import { canonicalJson } from '#domain';

/** SHA-256 of the canonical JSON, lower-case hex. */
export function contentHash(value: unknown): string {
  return sha256(canonicalJson(value));
}

/**
 * `contentHash` of an object of lists, from the canonical JSON of each list's items: who needs those too makes them once.
 * Lists that are undefined are left out, as by `contentHash`.
 */
export function contentHashOfLists(lists: Readonly<Record<string, readonly string[] | undefined>>): string {
  const named = Object.entries(lists).filter(([, items]) => items !== undefined);
  const sorted = named.sort(([left], [right]) => (left < right ? -1 : 1));
  return sha256(`{${sorted.map(([name, items]) => `${JSON.stringify(name)}:[${items!.join(',')}]`).join(',')}}`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
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
