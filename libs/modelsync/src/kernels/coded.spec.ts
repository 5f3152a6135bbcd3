import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ElementTypeName, elementType } from '../elements.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { decodeCoded, encodeCoded, supportsCoded } from './coded.ts';
import { BLOCK_BYTES_MAX } from './instance.ts';
import { changed, noise, weights } from './sample-tensors.ts';

const names: ElementTypeName[] = [
  'bfloat16',
  'float16',
  'float32',
  'float8e4m3',
  'float8e5m2',
  'int8',
  'int16',
  'int32',
  'q8_0',
];

function roundTrip(base: Uint8Array, next: Uint8Array, name: ElementTypeName): Uint8Array {
  const type = elementType(name);
  const coded = encodeCoded(base, next, type);
  const out = new Uint8Array(next.length).fill(0xa5);
  decodeCoded(base, coded, type, out);
  expect(Buffer.compare(out, next)).toBe(0);
  return coded;
}

const words16 = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);
const repeated = (bytes: Uint8Array, times: number) =>
  Uint8Array.from({ length: bytes.length * times }, (_, at) => bytes[at % bytes.length]!);

describe('coded', () => {
  describe.each(names)('%s', (name) => {
    it('gives back every bit pattern, of every length', () => {
      const lengths = fc.integer({ min: 0, max: 700 });
      const pairs = lengths.chain((length) =>
        fc.tuple(
          fc.uint8Array({ minLength: length, maxLength: length }),
          fc.uint8Array({ minLength: length, maxLength: length }),
        ),
      );
      fc.assert(
        fc.property(pairs, ([base, next]) => void roundTrip(base, next, name)),
        { numRuns: 150 },
      );
    });

    it('gives back a base with some bytes changed', () => {
      const change = fc.tuple(fc.nat({ max: 20_000 }), fc.nat({ max: 255 }));
      fc.assert(
        fc.property(fc.nat(), fc.nat({ max: 20_000 }), fc.array(change, { maxLength: 40 }), (seed, length, changes) => {
          const base = noise(length, seed);
          const next = base.slice();
          for (const [at, value] of changes) if (at < length) next[at] = value;
          roundTrip(base, next, name);
        }),
        { numRuns: 40 },
      );
    });

    it('gives back 70,001 bytes of noise, and adds little to them', () => {
      const coded = roundTrip(noise(70_001, 1), noise(70_001, 2), name);
      expect(coded.length).toBeLessThan(70_001 * 1.08);
    });
  });

  const cases: [string, Uint8Array, Uint8Array][] = [
    ['nothing', words16(), words16()],
    ['one element', words16(0x3f80), words16(0x3f81)],
    ['half an element', Uint8Array.of(1), Uint8Array.of(2)],
    ['all NaN with other payloads', repeated(words16(0x7fc1, 0xffff), 5000), repeated(words16(0x7fc2, 0x7f81), 5000)],
    ['zero and minus zero', repeated(words16(0, 0x8000), 3000), repeated(words16(0x8000, 0), 3000)],
    ['alternating signs', repeated(words16(0x3f80, 0xbf80), 3000), repeated(words16(0xbf80, 0x3f80), 3000)],
    ['subnormals', repeated(words16(1, 0x8001, 0x7f), 3000), repeated(words16(0x8001, 2, 0x80), 3000)],
    ['farthest apart', repeated(words16(0x7fff), 3000), repeated(words16(0xffff), 3000)],
    ['one change at the start', noise(50_000, 3), noise(50_000, 3).fill(7, 0, 2)],
    ['one change at the end', noise(50_000, 3), noise(50_000, 3).fill(7, 49_998)],
  ];
  it.each(cases)('gives back: %s', (_name, base, next) => {
    for (const name of names) roundTrip(base, next, name);
  });

  it('says in one byte that nothing changed', () => {
    expect(roundTrip(noise(5000, 4), noise(5000, 4), 'bfloat16')).toHaveLength(1);
  });

  it('codes a fine-tune below a third, and a sparse step below a twentieth', () => {
    const base = weights(120_000, 5);
    expect(roundTrip(base, changed(base, 1e-4, 1, 6), 'bfloat16').length).toBeLessThan(base.length * 0.33);
    expect(roundTrip(base, changed(base, 1e-3, 0.01, 7), 'bfloat16').length).toBeLessThan(base.length * 0.05);
  });

  it('puts rows that move more into classes of their own', () => {
    const base = weights(64 * 1024, 8);
    const next = base.slice();
    for (let row = 0; row < 64; row++) {
      const part = base.slice(row * 2048, (row + 1) * 2048);
      next.set(changed(part, row % 2 === 0 ? 1e-4 : 1e-3, 1, row), row * 2048);
    }
    const mixed = roundTrip(base, next, 'bfloat16').length;
    expect(mixed).toBeLessThan(base.length * 0.4);
  });

  it('predicts Q8_0 quants through a change of their scale', () => {
    const blocks = 500;
    const base = noise(blocks * 34, 9);
    const next = base.slice();
    for (let block = 0; block < blocks; block++) {
      const at = block * 34;
      for (const [bytes, high] of [
        [base, 0x20],
        [next, 0x24],
      ] as const) {
        bytes[at] = 0;
        bytes[at + 1] = high; // twice the scale
      }
      for (let quant = 2; quant < 34; quant++) next[at + quant] = (base[at + quant]! << 24) >> 25;
    }
    expect(roundTrip(base, next, 'q8_0').length).toBeLessThan(base.length * 0.1);
  });

  it('writes the same bytes every time, and those of the first release', () => {
    const base = weights(20_000, 10);
    const next = changed(base, 1e-3, 0.5, 11);
    const type = elementType('bfloat16');
    const first = encodeCoded(base, next, type);
    encodeCoded(noise(9000, 1), noise(9000, 2), elementType('float32'));
    expect(Buffer.compare(encodeCoded(base, next, type), first)).toBe(0);
    const small = encodeCoded(words16(0x3f80, 0xbc12, 0x0001, 0x7fc0), words16(0x3f81, 0xbc10, 0x0001, 0xffc0), type);
    expect({
      small: Buffer.from(small).toString('hex'),
      sha256: createHash('sha256').update(first).digest('hex'),
    }).toMatchInlineSnapshot(`
{
  "sha256": "a5446b12ae297a7b1e2dc41d0ede25abbcc8611d21c685fc8af20a49236e5510",
  "small": "010b08b83657fffe0915c58000000004100000381000f0",
}
`);
  });

  it('refuses what it cannot take', () => {
    const type = elementType('bfloat16');
    expect(names.every((name) => supportsCoded(elementType(name)))).toBe(true);
    expect(supportsCoded(elementType('opaque'))).toBe(false);
    expect(() => encodeCoded(noise(8, 1), noise(8, 2), elementType('float64'))).toThrow(InvalidOptionError);
    expect(() => encodeCoded(noise(8, 1), noise(6, 2), type)).toThrow(InvalidOptionError);
    const huge = new Uint8Array(BLOCK_BYTES_MAX + 1);
    expect(() => encodeCoded(huge, huge, type)).toThrow(InvalidOptionError);
    expect(() => decodeCoded(noise(8, 1), Uint8Array.of(0), type, new Uint8Array(6))).toThrow(CorruptDiffError);
  });
});

describe('damaged coded blocks', () => {
  const base = weights(6000, 12);
  const type = elementType('bfloat16');
  const payloads = [changed(base, 1e-3, 1, 13), changed(base, 1e-2, 0.02, 14)].map((next) => ({
    next,
    payload: encodeCoded(base, next, type),
  }));

  it.each(payloads)('throw CorruptDiffError when cut or longer (%#)', ({ payload }) => {
    const out = new Uint8Array(base.length);
    for (const length of [0, 1, 2, 3, 10, payload.length >> 1, payload.length - 1])
      expect(() => decodeCoded(base, payload.subarray(0, length), type, out)).toThrow(CorruptDiffError);
    const longer = Buffer.concat([payload, Buffer.alloc(1)]);
    expect(() => decodeCoded(base, longer, type, out)).toThrow(CorruptDiffError);
  });

  it.each(payloads)(
    'throw CorruptDiffError or give other bytes when flipped, and nothing worse (%#)',
    ({ payload }) => {
      const flip = fc.tuple(fc.nat({ max: payload.length - 1 }), fc.integer({ min: 1, max: 255 }));
      fc.assert(
        fc.property(fc.array(flip, { minLength: 1, maxLength: 8 }), (flips) => {
          const damaged = payload.slice();
          for (const [at, bits] of flips) damaged[at]! ^= bits;
          expectHarmless(damaged);
        }),
        { numRuns: 400 },
      );
      for (let at = 0; at < Math.min(payload.length, 400); at++) {
        const damaged = payload.slice();
        damaged[at]! ^= 1 << (at & 7);
        expectHarmless(damaged);
      }
    },
  );

  it.each(names)('of noise throw CorruptDiffError and nothing else: %s', (name) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expectHarmless(Uint8Array.of(1, ...bytes), name);
      }),
      { numRuns: 300 },
    );
  });

  function expectHarmless(damaged: Uint8Array, name: ElementTypeName = 'bfloat16'): void {
    const guarded = new Uint8Array(base.length + 64).fill(0x5a);
    try {
      decodeCoded(base, damaged, elementType(name), guarded.subarray(32, 32 + base.length));
    } catch (error) {
      expect(error).toBeInstanceOf(CorruptDiffError);
    }
    expect(guarded.subarray(0, 32).every((byte) => byte === 0x5a)).toBe(true);
    expect(guarded.subarray(-32).every((byte) => byte === 0x5a)).toBe(true);
  }
});
