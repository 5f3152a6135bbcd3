import { describe, expect, it } from '@jest/globals';
import { type ByteRange, byteRangeOf } from './byte-range.ts';

const whole: ByteRange = { kind: 'whole' };
const unsatisfiable: ByteRange = { kind: 'unsatisfiable' };
const part = (first: number, last: number): ByteRange => ({ kind: 'part', first, last });

describe('the range of a file of 10 bytes', () => {
  it.each<[string | undefined, ByteRange]>([
    [undefined, whole],
    ['bytes=0-', part(0, 9)],
    ['bytes=4-', part(4, 9)],
    ['bytes=4-6', part(4, 6)],
    ['bytes = 4 - 6', part(4, 6)],
    ['bytes=9-9', part(9, 9)],
    ['bytes=4-400', part(4, 9)],
    ['bytes=-3', part(7, 9)],
    ['bytes=-30', part(0, 9)],
    ['bytes=-0', unsatisfiable],
    ['bytes=10-', unsatisfiable],
    ['bytes=10-12', unsatisfiable],
    ['bytes=6-4', whole],
    ['bytes=-', whole],
    ['bytes=0-1,3-4', whole],
    ['lines=0-1', whole],
    ['bytes=0x1-', whole],
    ['bytes=9999999999999999-', whole],
  ])('%s', (range, want) => {
    expect(byteRangeOf(range, undefined, '"e"', 10)).toEqual(want);
  });

  it.each<[string, ByteRange]>([
    ['"e"', part(4, 9)],
    ['"other"', whole],
  ])('if-range %s', (ifRange, want) => {
    expect(byteRangeOf('bytes=4-', ifRange, '"e"', 10)).toEqual(want);
  });

  it('nothing of an empty file can be had in part', () => {
    expect(byteRangeOf('bytes=0-', undefined, '"e"', 0)).toEqual(unsatisfiable);
  });
});
