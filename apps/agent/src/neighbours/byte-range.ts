// RFC 9110 byte ranges, one at a time, as the registry answers them. Pure.

export type ByteRange =
  | { readonly kind: 'whole' }
  /** Both inclusive. */
  | { readonly kind: 'part'; readonly first: number; readonly last: number }
  | { readonly kind: 'unsatisfiable' };

/**
 * What to send for a Range header. Several ranges, other units and malformed headers are answered whole, as the RFC allows.
 *
 * @param ifRange the range counts only when this is absent or names the ETag
 */
export function byteRangeOf(
  range: string | undefined,
  ifRange: string | undefined,
  etag: string,
  sizeBytes: number,
): ByteRange {
  if (range === undefined || (ifRange !== undefined && ifRange.trim() !== etag)) return { kind: 'whole' };
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range.replaceAll(' ', '')) ?? [];
  if (from === undefined || to === undefined || from + to === '') return { kind: 'whole' };
  if (to !== '' && from !== '' && Number(to) < Number(from)) return { kind: 'whole' };
  const first = from === '' ? Math.max(0, sizeBytes - Number(to)) : Number(from);
  const last = from === '' || to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1);
  return first >= sizeBytes ? { kind: 'unsatisfiable' } : { kind: 'part', first, last };
}
