// Raw header lists (flat: name, value, name, value …) on their way through a proxy.

/** Belong to one connection, never to the message (RFC 9110, 7.6.1); `host` and `content-length` are made anew. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const requestOnly = new Set(['host', 'content-length', 'expect', 'accept-encoding']);

/**
 * Request headers fit to be sent upstream: without hop-by-hop headers, those that `Connection` names, `Host`,
 * `Content-Length`, `Expect` and `Accept-Encoding` (a compressed stream could not be watched), and without the
 * lower-case names in `drop` (as a rule `authorization`, whose upstream value the caller appends itself).
 */
export function forwardableRequestHeaders(raw: readonly string[], drop: ReadonlySet<string> = new Set()): string[] {
  const named = namedByConnection(raw);
  return filterHeaders(
    raw,
    (name) => !hopByHop.has(name) && !requestOnly.has(name) && !named.has(name) && !drop.has(name),
  );
}

/**
 * Response headers fit to be sent to the client, then the extra ones, which win over upstream headers of the same name.
 * An event stream loses its `Content-Length`: an error event may have to follow.
 */
export function forwardableResponseHeaders(
  raw: readonly string[],
  extra: readonly string[],
  isEventStream: boolean,
): string[] {
  const named = namedByConnection(raw);
  const replaced = new Set<string>();
  for (let index = 0; index < extra.length; index += 2) replaced.add(extra[index]!.toLowerCase());
  const kept = filterHeaders(
    raw,
    (name) =>
      !hopByHop.has(name) &&
      !named.has(name) &&
      !replaced.has(name) &&
      !(isEventStream && replacedForStreams.has(name)),
  );
  if (isEventStream) kept.push('cache-control', 'no-cache', 'x-accel-buffering', 'no');
  for (const part of extra) kept.push(part);
  return kept;
}

/** The first value of a header (lower-case name) in a flat list. */
export function headerValue(raw: readonly string[], name: string): string | null {
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const candidate = raw[index]!;
    if (candidate.length === name.length && candidate.toLowerCase() === name) return raw[index + 1]!;
  }
  return null;
}

/** undici hands raw headers as Buffers; as text they are latin1 by definition. */
export function toTextHeaders(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part: unknown) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part)));
}

function filterHeaders(raw: readonly string[], isKept: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if (isKept(raw[index]!.toLowerCase())) kept.push(raw[index]!, raw[index + 1]!);
  }
  return kept;
}

/** By every one of them: a list may come in several headers of one name (RFC 9110, 5.3). */
function namedByConnection(raw: readonly string[]): ReadonlySet<string> {
  const values: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]!;
    if (name.length === 10 && name.toLowerCase() === 'connection') values.push(raw[index + 1]!);
  }
  if (values.length === 0) return nothingNamed;
  return new Set(
    values
      .join(',')
      .toLowerCase()
      .trim()
      .split(/\s*,\s*/),
  );
}
const nothingNamed: ReadonlySet<string> = new Set();
const replacedForStreams: ReadonlySet<string> = new Set(['content-length', 'cache-control', 'x-accel-buffering']);
