import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  applyDiff,
  type CodecName,
  decodeSnapshot,
  encodeDiff,
  encodeSnapshot,
  MemorySink,
  memorySource,
} from './index.ts';
import {
  dtypes,
  ggufFile,
  noise,
  safetensorsFile,
  type TensorToWrite,
  updated,
  weights,
} from './model-files.builders.ts';

const every: readonly CodecName[] = ['patched', 'grouped', 'coded', 'predicted', 'snapshot'];
const sets: readonly (readonly CodecName[])[] = [
  every,
  ['grouped'],
  ['coded'],
  ['predicted'],
  ['snapshot'],
  ['patched'],
  [],
];

async function diffAndBack(base: Uint8Array, next: Uint8Array, codecs: readonly CodecName[], blockBytes = 4096) {
  const sink = new MemorySink();
  const report = await encodeDiff(memorySource(base), memorySource(next), sink, { codecs, blockBytes });
  const result = new MemorySink();
  await applyDiff(memorySource(base), memorySource(sink.content()), result);
  return { report, result: Buffer.from(result.content()), diff: sink.content() };
}

/** Random bit patterns, with the troublesome ones of every float width well represented. */
const patterns = fc.oneof(fc.constantFrom(0x00, 0x80, 0x7f, 0xff, 0x01, 0x7c, 0xfc), fc.integer({ min: 0, max: 255 }));

interface Edit {
  readonly kind: 'same' | 'few' | 'all' | 'gone' | 'grown' | 'shrunk' | 'retyped';
  readonly seed: number;
}

const edits = fc.record({
  kind: fc.constantFrom<Edit['kind']>('same', 'few', 'all', 'gone', 'grown', 'shrunk', 'retyped'),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});

const tensors = fc.record({
  dtype: fc.constantFrom(...Object.keys(dtypes)),
  rows: fc.integer({ min: 0, max: 40 }),
  columns: fc.integer({ min: 1, max: 70 }),
  palette: fc.array(patterns, { minLength: 1, maxLength: 24 }),
  edit: edits,
});

type Drawn = typeof tensors extends fc.Arbitrary<infer Value> ? Value : never;

function baseOf({ dtype, rows, columns, palette }: Drawn, index: number): TensorToWrite {
  const length = rows * columns * dtypes[dtype]![0];
  const bytes = noise(length, index).map((byte) => palette[byte % palette.length]!);
  return { name: `layer.${index}`, dtype, shape: [rows, columns], bytes };
}

function nextOf(base: TensorToWrite, { edit, columns, dtype }: Drawn): TensorToWrite[] {
  const random = noise(base.bytes.length + columns * 64, edit.seed);
  const [rows] = base.shape as [number];
  const rowBytes = columns * dtypes[dtype]![0];
  switch (edit.kind) {
    case 'same':
      return [base];
    case 'few':
      return [{ ...base, bytes: base.bytes.map((byte, at) => (random[at]! < 8 ? byte ^ random[at]! : byte)) }];
    case 'all':
      return [{ ...base, bytes: base.bytes.map((byte, at) => byte + (random[at]! % 3)) }];
    case 'gone':
      return [];
    case 'grown':
      return [
        { ...base, shape: [rows + 3, columns], bytes: Buffer.concat([base.bytes, random.subarray(0, 3 * rowBytes)]) },
      ];
    case 'shrunk':
      return [{ ...base, shape: [rows >> 1, columns], bytes: base.bytes.subarray(0, (rows >> 1) * rowBytes) }];
    case 'retyped':
      return [{ ...base, dtype: 'I8', shape: [base.bytes.length] }];
  }
}

describe('a diff and its base give the next file, byte by byte', () => {
  it('whatever the types, shapes, bit patterns and edits', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(tensors, { maxLength: 5 }), fc.constantFrom(...sets), async (drawn, codecs) => {
        const bases = drawn.map(baseOf);
        const nexts = bases.flatMap((base, index) => nextOf(base, drawn[index]!));
        const next = safetensorsFile(nexts.toReversed());
        const { result } = await diffAndBack(safetensorsFile(bases), next, codecs);
        expect(result.equals(next)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('for files of no known structure', async () => {
    const files = fc.uint8Array({ maxLength: 30_000 });
    await fc.assert(
      fc.asyncProperty(files, files, fc.nat(30_000), async (first, second, cut) => {
        const next = Buffer.concat([second.subarray(0, cut), first]);
        expect((await diffAndBack(first, next, every)).result.equals(next)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it.each(sets.map((codecs) => ({ codecs, name: codecs.join(', ') || 'raw' })))(
    'for GGUF with Q8_0: $name',
    async ({ codecs }) => {
      const file = (seed: number, changed: boolean) => {
        const bytes = Buffer.from(noise(34 * 64 * 8, 1));
        if (changed) for (let at = 0; at < bytes.length; at += 7) bytes[at]! += noise(1, seed + at)[0]! % 3;
        const norm = new Uint8Array(Float32Array.from({ length: 64 }, (_, index) => 1 / (index + seed)).buffer);
        return ggufFile([
          { name: 'norm', ggmlType: 0, shape: [64], bytes: norm },
          { name: 'q', ggmlType: 8, shape: [64, 256], bytes },
        ]);
      };
      const next = file(2, true);
      expect((await diffAndBack(file(1, false), next, codecs)).result.equals(next)).toBe(true);
    },
  );

  it('with blocks of many sizes', async () => {
    const base = weights(60_000, 1);
    const next = updated(base, 2, 0.4);
    const file = (bytes: Uint8Array) => safetensorsFile([{ name: 'w', dtype: 'BF16', shape: [200, 300], bytes }]);
    for (const blockBytes of [4096, 5001, 65_536, 4_194_304]) {
      const { result } = await diffAndBack(file(base), file(next), every, blockBytes);
      expect(result.equals(file(next))).toBe(true);
    }
  });
});

describe('what a diff costs', () => {
  const layer = (index: number, bytes: Uint8Array): TensorToWrite => ({
    name: `layers.${String(index).padStart(5, '0')}`,
    dtype: 'BF16',
    shape: [bytes.length / 2],
    bytes,
  });

  it('nothing to speak of where nothing changed, also with 10,000 tensors', async () => {
    const file = safetensorsFile(Array.from({ length: 10_000 }, (_, index) => layer(index, weights(32, index))));
    const { report } = await diffAndBack(file, file, every, 4_194_304);
    expect(report.bytes).toBeLessThan(300);
  });

  it('a few bytes a tensor where all of 10,000 changed a little', async () => {
    const bases = Array.from({ length: 10_000 }, (_, index) => weights(32, index));
    const base = safetensorsFile(bases.map((bytes, index) => layer(index, bytes)));
    const next = safetensorsFile(bases.map((bytes, index) => layer(index, updated(bytes, index, 0.1, 1e-4))));
    const { report, result } = await diffAndBack(base, next, every, 4_194_304);
    expect(result.equals(next)).toBe(true);
    expect(report.bytes).toBeLessThan(0.2 * 640_000);
  });

  it('only the new rows of a tensor that grew', async () => {
    const rows = weights(256 * 1000, 1);
    const grown = Buffer.concat([rows, weights(256 * 10, 2)]);
    const base = safetensorsFile([{ name: 'embedding', dtype: 'BF16', shape: [1000, 256], bytes: rows }]);
    const next = safetensorsFile([{ name: 'embedding', dtype: 'BF16', shape: [1010, 256], bytes: grown }]);
    const { report } = await diffAndBack(base, next, every, 4_194_304);
    expect(report.bytes).toBeLessThan(256 * 10 * 2);
  });

  it('less with the better codec', async () => {
    const bytes = weights(300_000, 1);
    const file = (content: Uint8Array) => safetensorsFile([layer(0, content)]);
    const size = async (codecs: readonly CodecName[]) =>
      (await diffAndBack(file(bytes), file(updated(bytes, 2, 1)), codecs, 4_194_304)).report.bytes;
    const [raw, grouped, coded] = [await size([]), await size(['grouped']), await size(['coded'])];
    expect(grouped).toBeLessThan(0.6 * raw);
    expect(coded).toBeLessThan(grouped);
  });
});

describe('a snapshot gives the file back', () => {
  it('whatever it holds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(tensors, { maxLength: 4 }), async (drawn) => {
        const file = safetensorsFile(drawn.map(baseOf));
        const sink = new MemorySink();
        await encodeSnapshot(memorySource(file), sink, { blockBytes: 4096 });
        const result = new MemorySink();
        await decodeSnapshot(memorySource(sink.content()), result);
        expect(Buffer.from(result.content()).equals(file)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('also an empty one', async () => {
    const sink = new MemorySink();
    await encodeSnapshot(memorySource(new Uint8Array(0)), sink);
    const report = await decodeSnapshot(memorySource(sink.content()), new MemorySink());
    expect(report.resultBytes).toBe(0);
  });
});
