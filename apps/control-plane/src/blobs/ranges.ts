// RFC 9110 byte ranges, one at a time. Pure.

export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly first: number; readonly last: number }
  | { readonly kind: 'unsatisfiable' };

/**
 * What to send for a Range header. Several ranges, other units and malformed headers are answered whole, as the RFC allows.
 *
 * @param ifRange the range counts only when this is absent or names the ETag
 */
export function judgeRange(
  range: string | undefined,
  ifRange: string | undefined,
  etag: string,
  sizeBytes: number,
): RangeAnswer {
  if (range === undefined || (ifRange !== undefined && ifRange.trim() !== etag)) return { kind: 'whole' };
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range.replaceAll(' ', ''));
  if (match === null) return { kind: 'whole' };
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return { kind: 'whole' };
  if (from === '') {
    const suffixBytes = Math.min(Number(to), sizeBytes);
    return suffixBytes === 0
      ? { kind: 'unsatisfiable' }
      : { kind: 'part', first: sizeBytes - suffixBytes, last: sizeBytes - 1 };
  }
  const first = Number(from);
  const last = to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1);
  if (to !== '' && Number(to) < first) return { kind: 'whole' };
  return first >= sizeBytes ? { kind: 'unsatisfiable' } : { kind: 'part', first, last };
}

/**
 * Where the body of an upload begins, by its Content-Range; 0 without one. Null when the header is malformed, leads out
 * of the whole, names another size, or is not as long as the body.
 *
 * @param lengthBytes of the body; null when it is not known before
 */
export function parseContentRange(
  contentRange: string | undefined,
  sizeBytes: number,
  lengthBytes: number | null,
): number | null {
  if (contentRange === undefined) return 0;
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,16})$/.exec(contentRange.trim());
  if (match === null) return null;
  const [first, last, total] = match.slice(1).map(Number) as [number, number, number];
  if (total !== sizeBytes || last < first || last >= total) return null;
  return lengthBytes === null || lengthBytes === last - first + 1 ? first : null;
}
