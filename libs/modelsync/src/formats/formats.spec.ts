import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ByteSource, memorySource } from '../bytes.ts';
import { MalformedModelError, ModelSyncError, RefusedFormatError } from '../errors.ts';
import { ggufFile, noise, safetensorsFile, withHeader } from '../model-files.builders.ts';
import { buildManifest } from './manifest.ts';
import { readLayout, recognise } from './recognise.ts';

const twoTensors = safetensorsFile([
  { name: 'a', dtype: 'F32', shape: [2, 3], bytes: noise(24, 1) },
  { name: 'b', dtype: 'BF16', shape: [4], bytes: noise(8, 2) },
]);
const gguf = ggufFile([
  { name: 'norm', ggmlType: 0, shape: [5], bytes: noise(20, 1) },
  { name: 'q', ggmlType: 8, shape: [2, 32], bytes: noise(68, 2) },
]);

describe('recognise', () => {
  it.each([
    { name: 'safetensors', file: twoTensors, want: 'safetensors' },
    { name: 'GGUF', file: gguf, want: 'gguf' },
    { name: 'a bare pickle', file: Uint8Array.of(0x80, 4, 0x95, 0, 0), want: 'pickle' },
    {
      name: 'a PyTorch archive',
      file: Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(26), Buffer.from('archive/data.pkl')]),
      want: 'pickle',
    },
    { name: 'another archive', file: Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(40)]), want: 'opaque' },
    { name: 'JSON text', file: Buffer.from('{ "model_type": "llama" }'), want: 'opaque' },
    { name: 'text with a brace in the ninth place', file: Buffer.from('12345678{}'), want: 'opaque' },
    { name: 'an ONNX graph', file: Buffer.from([0x08, 0x07, 0x12, 0x07, ...Buffer.from('pytorch')]), want: 'opaque' },
    { name: 'nothing', file: new Uint8Array(0), want: 'opaque' },
  ])('$name', async ({ file, want }) => {
    expect(await recognise(memorySource(file))).toBe(want);
  });

  it('refuses pickle where a layout is asked for', async () => {
    await expect(readLayout(memorySource(Uint8Array.of(0x80, 2, 0x63)))).rejects.toThrow(RefusedFormatError);
  });
});

describe('the manifest', () => {
  it('lists header, tensors and gaps so that they add up to the file', async () => {
    const { format, size, pieces } = await buildManifest(memorySource(gguf));
    expect({ format, size, names: pieces.map(({ kind, name, dtype }) => `${kind} ${name} ${dtype}`.trim()) }).toEqual({
      format: 'gguf',
      size: gguf.length,
      names: ['header', 'tensor norm F32', 'gap norm', 'tensor q Q8_0', 'gap q'],
    });
    expect(pieces.reduce((at, { offset, bytes }) => (offset === at ? at + bytes : Number.NaN), 0)).toBe(gguf.length);
  });

  it('gives shapes with the slowest dimension first', async () => {
    const { pieces } = await buildManifest(memorySource(gguf));
    expect(pieces.find(({ name, kind }) => name === 'q' && kind === 'tensor')?.shape).toEqual([2, 32]);
  });

  it('gives a tensor the same digest wherever it lies', async () => {
    const moved = safetensorsFile([
      { name: 'b', dtype: 'BF16', shape: [4], bytes: noise(8, 2) },
      { name: 'a', dtype: 'F32', shape: [2, 3], bytes: noise(24, 1) },
    ]);
    const digests = async (file: Uint8Array) =>
      (await buildManifest(memorySource(file))).pieces
        .filter(({ kind }) => kind === 'tensor')
        .map(({ name, digest }) => `${name} ${digest}`)
        .sort();
    expect(await digests(moved)).toEqual(await digests(twoTensors));
  });
});

const tensor = (dtype: string, shape: unknown, offsets: unknown) =>
  JSON.stringify({ t: { dtype, shape, data_offsets: offsets } });

describe('a malformed safetensors file is refused, with the reason', () => {
  it.each([
    { name: 'no JSON', header: '{"t": ', want: /not JSON/ },
    { name: 'a tensor that is no object', header: '{"t": 5}', want: /described by no object/ },
    { name: 'no dtype', header: tensor(undefined as never, [1], [0, 4]), want: /no dtype/ },
    { name: 'a negative dimension', header: tensor('F32', [-1], [0, 4]), want: /negative/ },
    { name: 'a shape that overflows', header: tensor('F32', [2 ** 40, 2 ** 40], [0, 4]), want: /too large/ },
    { name: 'too many dimensions', header: tensor('F32', Array(17).fill(1), [0, 4]), want: /shape/ },
    { name: 'offsets in the wrong order', header: tensor('F32', [1], [8, 4]), want: /outside/ },
    { name: 'offsets beyond the file', header: tensor('F32', [100], [0, 400]), want: /outside/ },
    { name: 'broken offsets', header: tensor('F32', [1], [0.5, 4.5]), want: /outside/ },
    { name: 'a size that does not match', header: tensor('F32', [2], [0, 4]), want: /needs 8/ },
    { name: 'a name that is too long', header: JSON.stringify({ [`n${'x'.repeat(2000)}`]: {} }), want: /name/ },
    {
      name: 'overlapping tensors',
      header: JSON.stringify({
        a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
        b: { dtype: 'F32', shape: [2], data_offsets: [4, 12] },
      }),
      want: /overlaps/,
    },
  ])('$name', async ({ header, want }) => {
    const file = memorySource(withHeader(header, new Uint8Array(16)));
    await expect(readLayout(file)).rejects.toThrow(MalformedModelError);
    await expect(readLayout(file)).rejects.toThrow(want);
  });

  it('a header of 100 MB, before it is read', async () => {
    const head = Buffer.concat([Buffer.alloc(8), Buffer.from('{')]);
    head.writeBigUInt64LE(100_000_000n);
    let bytesRead = 0;
    const source: ByteSource = {
      size: 200_000_000,
      read: async (offset, length) => {
        bytesRead += length;
        return Buffer.concat([head, Buffer.alloc(512)]).subarray(offset, offset + length);
      },
    };
    await expect(readLayout(source)).rejects.toThrow(/100000000 bytes/);
    expect(bytesRead).toBeLessThan(1000);
  });

  it('takes names with path tricks as the names they are', async () => {
    const file = safetensorsFile([{ name: '../../etc/passwd', dtype: 'I8', shape: [3], bytes: noise(3, 1) }]);
    expect((await readLayout(memorySource(file))).pieces[1]?.name).toBe('../../etc/passwd');
  });
});

describe('a malformed GGUF file is refused, with the reason', () => {
  const patched = (edit: (file: Buffer) => void) => {
    const file = Buffer.from(gguf);
    edit(file);
    return memorySource(file);
  };
  it.each([
    { name: 'version 1', source: patched((file) => file.writeUInt32LE(1, 4)), want: /version 1/ },
    { name: 'big-endian', source: patched((file) => file.writeUInt32BE(3, 4)), want: /version 50331648/ },
    { name: '2^60 tensors', source: patched((file) => file.writeBigUInt64LE(2n ** 60n, 8)), want: /possible/ },
    { name: 'a million keys', source: patched((file) => file.writeBigUInt64LE(10n ** 6n, 16)), want: /cannot fit/ },
    { name: 'a cut header', source: memorySource(gguf.subarray(0, 100)), want: /beyond|fit/ },
    { name: 'cut data', source: memorySource(gguf.subarray(0, gguf.length - 70)), want: /beyond/ },
  ])('$name', async ({ source, want }) => {
    await expect(readLayout(source)).rejects.toThrow(want);
  });
});

describe('whatever bytes come', () => {
  it.each([
    { name: 'safetensors', file: twoTensors },
    { name: 'GGUF', file: gguf },
  ])('$name with flips and cuts gives a layout that covers the file, or a named error', async ({ file }) => {
    const flips = fc.array(fc.tuple(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 })), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(flips, fc.nat(file.length), async (changes, length) => {
        const bytes = Uint8Array.from(file);
        for (const [at, mask] of changes) bytes[at]! ^= mask;
        const source = memorySource(bytes.subarray(0, changes.length % 2 === 0 ? length : undefined));
        try {
          const { pieces } = await readLayout(source);
          expect(pieces.reduce((at, piece) => (piece.offset === at ? at + piece.bytes : Number.NaN), 0)).toBe(
            source.size,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(ModelSyncError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
