import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ElementTypeName, elementType } from '../elements.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { fromGroupedPlanes, groupedPlanes } from './planes.ts';
import { noise } from './sample-tensors.ts';

const names: ElementTypeName[] = ['bfloat16', 'float16', 'float32', 'float8e4m3', 'int8', 'int16', 'int32'];

describe('grouped planes', () => {
  it.each(names)('are sorted by exponent and give back every bit pattern: %s', (name) => {
    const type = elementType(name);
    fc.assert(
      fc.property(fc.nat({ max: 600 }), fc.nat(), (count, seed) => {
        const [base, next] = [noise(count * type.bytes, seed), noise(count * type.bytes, seed + 1)];
        const grouped = groupedPlanes(base, next, type);
        expect(grouped.planes.map(({ length }) => length)).toEqual(Array(type.bytes).fill(count));
        const out = new Uint8Array(next.length);
        const fill = ({ counts, planes }: typeof grouped) => {
          expect(counts).toEqual(grouped.counts);
          for (const [index, plane] of planes.entries()) plane.set(grouped.planes[index]!);
        };
        fromGroupedPlanes(base, type, fill, out);
        expect(Buffer.compare(out, next)).toBe(0);
      }),
    );
  });

  it('put the smallest exponents first, in the order of the elements', () => {
    const words = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);
    const base = words(0x4000, 0x3f80, 0x4000, 0x3f80);
    const { counts, planes } = groupedPlanes(base, words(0x4001, 0x3f7f, 0x4002, 0x4080), elementType('bfloat16'));
    expect([counts[0x7f], counts[0x80]]).toEqual([2, 2]);
    expect(planes.map((plane) => [...plane])).toEqual([
      [1, 0, 2, 4],
      [0, 2, 0, 0],
    ]);
  });

  it('refuse what they cannot take', () => {
    const type = elementType('bfloat16');
    expect(() => groupedPlanes(noise(4, 1), noise(4, 2), elementType('int64'))).toThrow(InvalidOptionError);
    expect(() => groupedPlanes(noise(3, 1), noise(3, 2), type)).toThrow(InvalidOptionError);
    expect(() => fromGroupedPlanes(noise(4, 1), type, () => {}, new Uint8Array(6))).toThrow(CorruptDiffError);
  });
});
