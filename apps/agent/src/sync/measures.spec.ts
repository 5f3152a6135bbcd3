import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { StateDocument } from '#files';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { Measures, measuresSchema, PieceTimer, SpeedMeasure } from './measures.ts';

describe('a measured speed', () => {
  const cases: { name: string; pieces: [bytes: number, ms: number][]; want: number | undefined }[] = [
    { name: 'nothing is known of a short piece', pieces: [[999_999, 999]], want: undefined },
    { name: '1 MB is a sample', pieces: [[1_000_000, 100]], want: 10_000_000 },
    { name: '1 s is a sample', pieces: [[5_000, 1_000]], want: 5_000 },
    {
      name: 'short pieces are added up',
      pieces: [
        [600_000, 100],
        [600_000, 140],
      ],
      want: 5_000_000,
    },
    {
      name: 'the newest weighs 0.3',
      pieces: [
        [1_000_000, 1_000],
        [2_000_000, 1_000],
      ],
      want: 1_300_000,
    },
    { name: 'a second without a byte is no speed', pieces: [[0, 5_000]], want: undefined },
    {
      name: 'but it counts for the bytes that follow',
      pieces: [
        [0, 5_000],
        [10_000, 5_000],
      ],
      want: 1_000,
    },
  ];
  it.each(cases)('$name', ({ pieces, want }) => {
    const measure = new SpeedMeasure();
    for (const [bytes, ms] of pieces) measure.add(bytes, ms);
    expect(measure.bytesPerSecond).toBe(want);
  });
});

describe('timing what is made in pieces', () => {
  it('begins with the first piece: what it waited for before is no speed', () => {
    const timer = new PieceTimer();
    timer.reached(1_000, 60_000);
    timer.reached(2_000, 60_010);
    expect(timer.ended(3_000, 60_020)).toEqual({ bytes: 2_000, ms: 20 });
  });

  it('says nothing of a single piece, or of none', () => {
    const timer = new PieceTimer();
    expect(timer.ended(0, 5)).toBeNull();
    timer.reached(1_000, 60_000);
    expect(timer.ended(1_000, 61_000)).toBeNull();
  });
});

describe('the measures of an agent', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  const open = async (freeBytes = 77) => {
    const options = { folder: folder.path, name: 'sync-measures', schema: measuresSchema, onDamaged: () => undefined };
    const document = new StateDocument({ ...options, generations: 2 });
    const measures = new Measures({ document, folder: folder.path, freeBytes: () => Promise.resolve(freeBytes) });
    await measures.open();
    return measures;
  };

  it('know nothing but the disk at first', async () => {
    expect((await open()).current()).toEqual({ applyBytesPerSecond: {}, diskFreeBytes: 77 });
  });

  it('are the same after a restart', async () => {
    const measures = await open();
    measures.transferred('registry', 1_000_000, 1_000);
    measures.applied('fast', 4_000_000, 1_000);
    measures.applied('small', 3_999_999, 60_000);
    await measures.store();
    expect((await open(5)).current()).toEqual({
      registryBytesPerSecond: 1_000_000,
      applyBytesPerSecond: { fast: 4_000_000 },
      diskFreeBytes: 5,
    });
  });
});
