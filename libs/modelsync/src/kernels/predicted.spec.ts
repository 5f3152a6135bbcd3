import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ElementTypeName, elementType } from '../elements.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { encodeCoded } from './coded.ts';
import { type PredictionModel, readPrediction, writePrediction } from './factors.ts';
import { fitPrediction } from './fit.ts';
import { decodePredicted, encodePredicted, supportsPredicted } from './predicted.ts';
import { changed, fromBrain, generator, noise, normal, toBrain, weights } from './sample-tensors.ts';

const names: ElementTypeName[] = ['bfloat16', 'float16', 'float32'];
const brain = elementType('bfloat16');

/** Weights, and the same plus a matrix of this rank: a merged LoRA. */
function merged(rows: number, columns: number, rank: number, seed: number) {
  const random = generator(seed);
  const base = weights(rows * columns, seed + 1);
  const values = fromBrain(base);
  const left = Float32Array.from({ length: rows * rank }, () => normal(random, 0.03));
  const right = Float32Array.from({ length: columns * rank }, () => normal(random, 0.03));
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let k = 0; k < rank; k++)
        values[row * columns + column]! += left[row * rank + k]! * right[column * rank + k]!;
  return { base, next: toBrain(values) };
}

function anyModel(rows: number, columns: number, rank: number, exponent: number, seed: number): PredictionModel {
  const random = generator(seed);
  const factors = (count: number) => Int16Array.from({ length: count * rank }, () => (random() % 4095) - 2047);
  const exponents = Array.from({ length: rank }, (_, k) => exponent - k);
  return writePrediction(rows, columns, exponents, factors(rows), factors(columns));
}

function decoded(base: Uint8Array, payload: Uint8Array, name: ElementTypeName, model: PredictionModel, first = 0) {
  const out = new Uint8Array(base.length).fill(0xa5);
  decodePredicted(base, payload, elementType(name), readPrediction(model.bytes.slice()), first, out);
  return out;
}

describe('predicted', () => {
  it.each(names)('gives back every bit pattern with any model, from any element on: %s', (name) => {
    const type = elementType(name);
    const sizes = fc.record({
      rows: fc.integer({ min: 1, max: 12 }),
      columns: fc.integer({ min: 1, max: 40 }),
      rank: fc.integer({ min: 1, max: 5 }),
      exponent: fc.constantFrom(-200, -40, -25, -15, 0, 60, 200),
      seed: fc.nat(),
      first: fc.nat(),
    });
    fc.assert(
      fc.property(sizes, ({ rows, columns, rank, exponent, seed, first }) => {
        const from = first % (rows * columns);
        const bytes = (rows * columns - from) * type.bytes;
        const [base, next] = [noise(bytes, seed), noise(bytes, seed + 1)];
        const model = anyModel(rows, columns, rank, exponent, seed);
        const payload = encodePredicted(base, next, type, model, from);
        expect(Buffer.compare(decoded(base, payload, name, model, from), next)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('gives back infinities, NaN and zeros beside predictions that overflow', () => {
    const special = Uint16Array.of(0x7f80, 0xff80, 0x7fc1, 0xffff, 0, 0x8000, 1, 0x7f7f, 0xff7f, 0x3f80);
    const words = Uint16Array.from({ length: 20 * 300 }, (_, at) => special[at % special.length]!);
    const base = new Uint8Array(words.buffer);
    const next = new Uint8Array(words.toReversed().buffer);
    const model = anyModel(20, 300, 3, 120, 5);
    const payload = encodePredicted(base, next, brain, model, 0);
    expect(Buffer.compare(decoded(base, payload, 'bfloat16', model), next)).toBe(0);
  });

  it('codes a merged LoRA for little more than its factors', () => {
    const { base, next } = merged(300, 200, 3, 20);
    const model = fitPrediction(base, next, 300, 200, brain, { rankMax: 16, seed: 1 })!;
    const payload = encodePredicted(base, next, brain, model, 0);
    expect(Buffer.compare(decoded(base, payload, 'bfloat16', model), next)).toBe(0);
    expect(model.rank).toBe(4);
    expect(payload.length + model.bytes.length).toBeLessThan(0.5 * encodeCoded(base, next, brain).length);
  });

  it('codes blocks that begin and end inside rows', () => {
    const { base, next } = merged(64, 100, 2, 30);
    const model = fitPrediction(base, next, 64, 100, brain, { rankMax: 4, seed: 1 })!;
    for (const [first, end] of [
      [0, 1],
      [99, 101],
      [150, 5130],
      [5130, 6400],
    ] as const) {
      const [from, to] = [base.slice(first * 2, end * 2), next.slice(first * 2, end * 2)];
      const payload = encodePredicted(from, to, brain, model, first);
      expect(Buffer.compare(decoded(from, payload, 'bfloat16', model, first), to)).toBe(0);
    }
  });

  it('finds nothing where nothing is low-rank, small, unchanged or not a float', () => {
    const base = weights(128 * 128, 40);
    const scattered = changed(base, 1e-3, 1, 41);
    const options = { rankMax: 16, seed: 1 };
    expect(fitPrediction(base, scattered, 128, 128, brain, options)).toBeNull();
    expect(fitPrediction(base, changed(base, 1e-2, 0.01, 42), 128, 128, brain, options)).toBeNull();
    expect(fitPrediction(base, base, 128, 128, brain, options)).toBeNull();
    expect(fitPrediction(base, scattered, 4, 4096, brain, options)).toBeNull();
    expect(fitPrediction(base, scattered, 128, 100, brain, options)).toBeNull();
    expect(fitPrediction(base, scattered, 256, 128, elementType('int8'), options)).toBeNull();
    expect(fitPrediction(base, noise(base.length, 43), 128, 128, brain, options)).toBeNull();
    expect(supportsPredicted(elementType('int8'))).toBe(false);
  });

  it('writes the same bytes every time, and those of the first release', () => {
    const { base, next } = merged(64, 80, 2, 50);
    const make = () => fitPrediction(base, next, 64, 80, brain, { rankMax: 8, seed: 7 })!;
    const model = make();
    expect(Buffer.compare(make().bytes, model.bytes)).toBe(0);
    const fixed = anyModel(64, 80, 3, -36, 8);
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    expect({
      model: sha256(fixed.bytes),
      payload: sha256(encodePredicted(base, next, brain, fixed, 0)),
    }).toMatchInlineSnapshot(`
{
  "model": "61e957565f5d2039746d41f601c96ee9f5be570ee47b087f9f5a514e2e5b45db",
  "payload": "72aaceb111a5fb55cb8ae5bf40c3affff18aee5284e56e937688839cbbc09f26",
}
`);
  });

  it('refuses elements outside of the tensor', () => {
    const model = anyModel(4, 8, 1, -20, 1);
    const bytes = noise(32, 1);
    expect(() => encodePredicted(bytes, noise(32, 2), brain, model, 20)).toThrow(InvalidOptionError);
    expect(() => decodePredicted(bytes, Uint8Array.of(1), brain, model, 20, new Uint8Array(32))).toThrow(
      CorruptDiffError,
    );
  });
});

describe('damaged predictions', () => {
  const { base, next } = merged(64, 80, 2, 60);
  const model = anyModel(64, 80, 3, -36, 9);
  const payload = encodePredicted(base, next, brain, model, 0);

  it('throw CorruptDiffError, or give other bytes, and nothing worse', () => {
    const damage = (bytes: Uint8Array) =>
      fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), fc.nat({ max: bytes.length }));
    const out = new Uint8Array(base.length);
    const tryBoth = (modelBytes: Uint8Array, coded: Uint8Array) => {
      try {
        decodePredicted(base, coded, brain, readPrediction(modelBytes), 0, out);
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptDiffError);
      }
    };
    const spoil = (bytes: Uint8Array, [at, bits, length]: [number, number, number]) => {
      const spoilt = bytes.slice();
      spoilt[at]! ^= bits;
      return length % 3 === 0 ? spoilt.subarray(0, length) : spoilt;
    };
    fc.assert(
      fc.property(damage(model.bytes), damage(payload), (first, second) => {
        tryBoth(spoil(model.bytes, first), payload);
        tryBoth(model.bytes, spoil(payload, second));
      }),
      { numRuns: 200 },
    );
  });

  it('of absurd sizes are refused before anything is allocated', () => {
    expect(() => readPrediction(Uint8Array.of(64, 255, 255, 255, 127, 255, 255, 255, 127, 0))).toThrow(
      CorruptDiffError,
    );
    expect(() => readPrediction(Uint8Array.of(0, 1, 1))).toThrow(CorruptDiffError);
    expect(() => readPrediction(new Uint8Array(0))).toThrow(CorruptDiffError);
  });
});
