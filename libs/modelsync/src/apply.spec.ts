import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  applyDiff,
  CorruptDiffError,
  decodeBlockOf,
  decodeSnapshot,
  encodeDiff,
  encodeSnapshot,
  MemorySink,
  ModelSyncError,
  memorySource,
  NotADiffError,
  openContainer,
  UnsupportedVersionError,
  WrongBaseError,
  WrongResultError,
} from './index.ts';
import { noise, safetensorsFile, updated, weights } from './model-files.builders.ts';

/** A file of every kind of piece: small and large tensors, changed, unchanged, new, grown; several types. */
function modelFile(step: number): Uint8Array {
  const bf16 = (name: string, rows: number, share: number) => {
    const bytes = weights(rows * 64, name.length);
    return { name, dtype: 'BF16', shape: [rows, 64], bytes: step === 0 ? bytes : updated(bytes, step, share) };
  };
  const grown = weights(64 * (80 + 8 * step), 7);
  return safetensorsFile(
    [
      bf16('all', 200, 1),
      bf16('some', 100, 0.05),
      bf16('none', 150, 0),
      { name: 'grown', dtype: 'BF16', shape: [80 + 8 * step, 64], bytes: grown },
      { name: 'numbers', dtype: 'I32', shape: [64], bytes: noise(256, 1 + step) },
      { name: `new${step}`, dtype: 'F32', shape: [10], bytes: noise(40, step) },
    ],
    { step: String(step) },
  );
}

const base = modelFile(0);
const next = modelFile(1);
let diff: Uint8Array;
let snapshot: Uint8Array;

beforeAll(async () => {
  const diffSink = new MemorySink();
  await encodeDiff(memorySource(base), memorySource(next), diffSink, { blockBytes: 4096 });
  diff = diffSink.content();
  const snapshotSink = new MemorySink();
  await encodeSnapshot(memorySource(next), snapshotSink, { blockBytes: 8192 });
  snapshot = snapshotSink.content();
});

const apply = (bytes: Uint8Array, against = base, sink = new MemorySink()) =>
  applyDiff(memorySource(against), memorySource(bytes), sink);

describe('applyDiff refuses', () => {
  it.each([
    { name: 'another base of the same size', against: Buffer.from(base).fill(1, 4000, 4001), want: /SHA-256/ },
    { name: 'a base of another size', against: base.subarray(1), want: /bytes/ },
  ])('$name, before it writes', async ({ against, want }) => {
    const sink = new MemorySink();
    await expect(apply(diff, against, sink)).rejects.toThrow(WrongBaseError);
    await expect(apply(diff, against, sink)).rejects.toThrow(want);
    expect(sink.content()).toHaveLength(0);
  });

  it('a diff that makes another file than the one wanted, before it writes', async () => {
    const sink = new MemorySink();
    const wanted = { digest: '0'.repeat(64), bytes: next.length };
    const applied = applyDiff(memorySource(base), memorySource(diff), sink, { wanted });
    await expect(applied).rejects.toThrow(WrongResultError);
    expect(sink.content()).toHaveLength(0);
  });

  it('what is no diff', async () => {
    await expect(apply(next)).rejects.toThrow(NotADiffError);
    await expect(apply(new Uint8Array(0))).rejects.toThrow(CorruptDiffError);
  });

  it('a format version that it does not know', async () => {
    const newer = Buffer.from(diff);
    newer.writeUInt16LE(2, 8);
    await expect(apply(newer)).rejects.toThrow(UnsupportedVersionError);
  });

  it('a snapshot, and decodeSnapshot a diff', async () => {
    await expect(apply(snapshot)).rejects.toThrow(/snapshot/);
    await expect(decodeSnapshot(memorySource(diff), new MemorySink())).rejects.toThrow(/needs its base/);
  });

  it('a container that is cut anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(diff.length - 1), async (length) => {
        await expect(apply(diff.subarray(0, length))).rejects.toThrow(ModelSyncError);
      }),
      { numRuns: 200 },
    );
  });

  it('a flipped bit anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(diff.length - 1), fc.nat(7), async (at, bit) => {
        const flipped = Buffer.from(diff);
        flipped[at]! ^= 1 << bit;
        await expect(apply(flipped)).rejects.toThrow(ModelSyncError);
      }),
      { numRuns: 400 },
    );
  });

  it('the same in a snapshot', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(snapshot.length - 1), fc.nat(7), async (at, bit) => {
        const flipped = Buffer.from(snapshot);
        flipped[at]! ^= 1 << bit;
        await expect(decodeSnapshot(memorySource(flipped), new MemorySink())).rejects.toThrow(ModelSyncError);
      }),
      { numRuns: 200 },
    );
  });
});

describe('blocks', () => {
  it('are decoded one without the others, in any order', async () => {
    const container = await openContainer(memorySource(diff));
    const result = new MemorySink();
    for (const block of container.blocks.toReversed()) {
      const bytes = await decodeBlockOf(container, memorySource(base), block);
      await result.write(block.piece.offset + block.start, bytes);
    }
    expect(Buffer.from(result.content()).equals(next)).toBe(true);
  });

  it('use every codec that this file calls for', async () => {
    const { blocks } = await openContainer(memorySource(diff));
    expect([...new Set(blocks.map(({ codec }) => codec.name))].sort()).toEqual(
      expect.arrayContaining(['coded', 'patched', 'same', 'snapshot']),
    );
  });
});

describe('resuming', () => {
  it('decodes only what an earlier attempt did not leave whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(next.length), fc.nat(next.length - 1), async (length, broken) => {
        const left = Buffer.from(next.subarray(0, length));
        if (broken < length) left[broken]! ^= 1;
        const sink = new MemorySink();
        await sink.write(0, left);
        const report = await applyDiff(memorySource(base), memorySource(diff), sink, {
          resumeFrom: memorySource(left),
        });
        expect(Buffer.from(sink.content()).equals(next)).toBe(true);
        expect(report.resumedBytes).toBeGreaterThanOrEqual(Math.max(0, length - 3 * 4096));
        expect(report.resumedBytes).toBeLessThanOrEqual(length);
      }),
      { numRuns: 50 },
    );
  });

  it('tells its progress, and stops between blocks when it is told to', async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const stopped = applyDiff(memorySource(base), memorySource(diff), new MemorySink(), {
      signal: controller.signal,
      onProgress: ({ resultBytesDone }) => {
        seen.push(resultBytesDone);
        if (seen.length === 3) controller.abort(new Error('told to stop'));
      },
    });
    await expect(stopped).rejects.toThrow('told to stop');
    expect(seen).toHaveLength(3);
  });
});
