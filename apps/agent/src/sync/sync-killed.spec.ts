import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { DesiredVersion } from '#domain';
import { openStory, type PlannedStory, second } from '../../test/planned-story.ts';
import type { StepFile } from '../../test/planned-world.ts';
import { blobPath } from './blob-download.ts';

// Files are made on worker threads, which start late on a busy machine.
jest.setTimeout(60_000);

describe('a sync that was killed, or met a full disk (invariant 5)', () => {
  let story: PlannedStory;
  let world: PlannedStory['world'];
  let v1: DesiredVersion;
  let v2: DesiredVersion;
  let diff: StepFile;
  let sync: PlannedStory['sync'];
  let versions: PlannedStory['versions'];
  let holdFirst: PlannedStory['holdFirst'];
  let byDiff: PlannedStory['byDiff'];
  let contentOf: PlannedStory['contentOf'];
  let fetchFolders: PlannedStory['fetchFolders'];
  let onlyWhole: PlannedStory['onlyWhole'];

  beforeEach(async () => {
    story = await openStory();
    ({ world, v1, v2, diff, sync, versions, holdFirst, byDiff, contentOf, fetchFolders, onlyWhole } = story);
  }, 30_000);
  afterEach(() => story.stop());

  const killedAt: { name: string; leave: () => Promise<void> }[] = [
    {
      name: 'in the middle of the transfer',
      leave: () =>
        leave(
          versions.fetchFolder(v2.digest),
          diff.blobDigest,
          blobOf(diff).subarray(0, diff.blobBytes / 2),
          '.partial',
        ),
    },
    {
      name: 'after the last byte, before the name',
      leave: () => leave(versions.fetchFolder(v2.digest), diff.blobDigest, blobOf(diff), '.partial'),
    },
    {
      name: 'after the transfer',
      leave: () => leave(versions.fetchFolder(v2.digest), diff.blobDigest, blobOf(diff)),
    },
    {
      name: 'while the file was made',
      leave: () => leave(versions.blobsFolder, diff.digest, second.subarray(0, 20_001), '.partial'),
    },
    {
      name: 'while the file was made, and the last block was torn',
      leave: () =>
        leave(
          versions.blobsFolder,
          diff.digest,
          Buffer.concat([second.subarray(0, 9_000), Buffer.alloc(99)]),
          '.partial',
        ),
    },
    {
      name: 'with more in the file than it has',
      leave: () => leave(versions.blobsFolder, diff.digest, Buffer.concat([second, second]), '.partial'),
    },
    {
      name: 'after the file was made, before it had its name',
      leave: () => leave(versions.blobsFolder, diff.digest, second, '.partial'),
    },
    { name: 'before the switch', leave: () => leave(versions.blobsFolder, diff.digest, second) },
    {
      name: 'in the switch',
      leave: async () => {
        await leave(versions.blobsFolder, diff.digest, second);
        await mkdir(join(story.path, 'versions', `.${v2.digest}.aside`));
      },
    },
    {
      name: 'by a power cut that left a blob of noise under its name',
      leave: () => leave(versions.fetchFolder(v2.digest), diff.blobDigest, Buffer.alloc(diff.blobBytes, 3)),
    },
  ];
  const blobOf = ({ blobDigest }: StepFile) => world.blobs.get(blobDigest)!;
  async function leave(blobsFolder: string, digest: string, content: Uint8Array, end = ''): Promise<void> {
    const path = blobPath(blobsFolder, digest);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}${end}`, content);
  }
  it.each(killedAt)('killed $name, the next start goes on and ends with the right bytes', async ({ leave: left }) => {
    await holdFirst();
    await left();
    const again = await world.open();
    world.plans = [byDiff()];
    expect(await world.settle(again.sync, v2)).toMatchObject({ phase: 'Held' });
    expect((await contentOf(v2)).equals(second)).toBe(true);
    expect([world.avoided, world.drifts, await fetchFolders()]).toEqual([[], [], []]);
    expect(world.requests.length).toBeLessThanOrEqual(1);
    await onlyWhole();
  });

  it('refuses what the disk cannot hold before the first byte: what travels and what is made of it', async () => {
    await holdFirst();
    world.freeBytes = 1_000 + diff.blobBytes + second.length - 1;
    world.plans = [byDiff()];
    const report = await world.settle(sync, v2);
    expect([report.phase, world.requests]).toEqual(['Failed', []]);
    const needed = `${diff.blobBytes + second.length} bytes are missing and 1000 must stay free`;
    expect(report.reason).toContain(`Not enough disk: ${needed}, but only ${world.freeBytes} are`);
    world.freeBytes += 1;
    world.plans = [byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
  });

  const full = [
    { name: 'its encoding', path: () => blobPath(versions.fetchFolder(v2.digest), diff.blobDigest) },
    { name: 'the file', path: () => blobPath(versions.blobsFolder, diff.digest) },
  ];
  it.each(full)(
    'the disk full in the middle of $name: a clear error, v1 untouched, and a later try succeeds',
    async ({ path }) => {
      await holdFirst();
      await mkdir(dirname(path()), { recursive: true });
      await symlink('/dev/full', `${path()}.partial`);
      world.plans = [byDiff()];
      const report = await world.settle(sync, v2);
      expect(report.phase).toBe('Failed');
      expect(report.reason).toMatch(/the disk is full \(.*ENOSPC.*\). Free some/);
      expect([[...sync.heldDigests], world.avoided]).toEqual([[v1.digest], []]);
      await rm(`${path()}.partial`, { force: true });
      world.plans = [byDiff()];
      expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
      await onlyWhole();
    },
  );

  it('the sweep leaves alone what a wanted version has in hand', async () => {
    await leave(versions.fetchFolder(v2.digest), diff.blobDigest, blobOf(diff));
    await versions.sweep(new Set(), new Set([v2.digest]));
    expect(await fetchFolders()).toEqual([v2.digest]);
  });
});
