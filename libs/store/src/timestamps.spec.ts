import { describe, expect, it } from '@jest/globals';
import { parseTimestamp, TYPE_PARSERS } from './timestamps.ts';

describe('a time as Postgres writes it', () => {
  it.each([
    { text: '2026-01-02 03:04:05+00', want: '2026-01-02T03:04:05.000Z' },
    { text: '2026-01-02 03:04:05.6+00', want: '2026-01-02T03:04:05.600Z' },
    { text: '2026-01-02 03:04:05.67+00', want: '2026-01-02T03:04:05.670Z' },
    { text: '2026-12-31 23:59:59.678+00', want: '2026-12-31T23:59:59.678Z' },
    { text: '2026-01-02 03:04:05.678999+00', want: '2026-01-02T03:04:05.678Z' },
    { text: '1969-12-31 23:59:59.999+00', want: '1969-12-31T23:59:59.999Z' },
    { text: '2024-02-29 00:00:00+00', want: '2024-02-29T00:00:00.000Z' },
    { text: '2026-01-02 08:34:05.678+05:30', want: '2026-01-02T03:04:05.678Z' },
    { text: '2026-01-02 05:04:05+02', want: '2026-01-02T03:04:05.000Z' },
    { text: '2026-01-01 17:04:05-10', want: '2026-01-02T03:04:05.000Z' },
    { text: '12026-01-02 03:04:05+00', want: '+012026-01-02T03:04:05.000Z' },
  ])('$text', ({ text, want }) => {
    expect(parseTimestamp(text).toISOString()).toBe(want);
  });

  it('before our era, or without end, is what the driver makes of it', () => {
    expect(parseTimestamp('0044-03-15 12:00:00+00 BC').getUTCFullYear()).toBe(-43);
    expect(parseTimestamp('infinity')).toBe(Number.POSITIVE_INFINITY);
  });

  it('has a parser of its own; other types keep theirs', () => {
    expect(TYPE_PARSERS.getTypeParser(1184)).toBe(parseTimestamp);
    expect((TYPE_PARSERS.getTypeParser(23) as (text: string) => unknown)('7')).toBe(7);
  });
});
