import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { openStory, type PlannedStory, second } from '../../test/planned-story.ts';
import { blobPath } from './blob-download.ts';
import { VersionFolder } from './version-folder.ts';

// Files are made on worker threads, which start late on a busy machine.
jest.setTimeout(60_000);

describe('a disk that is nearly full', () => {
  let story: PlannedStory;
  beforeEach(async () => {
    story = await openStory();
  }, 30_000);
  afterEach(() => story.stop());

  const ways = [
    { name: 'a plan', plans: () => [story.bySnapshot()] },
    { name: 'whole files', plans: () => [] },
  ];
  it.each(ways)('what another plan left aside makes room for $name', async ({ plans }) => {
    const { world, sync, versions, v2, diff } = story;
    const left = `${blobPath(versions.fetchFolder(v2.digest), diff.blobDigest)}.partial`;
    await mkdir(dirname(left), { recursive: true });
    await writeFile(left, Buffer.alloc(5_000));
    Object.defineProperty(world, 'freeBytes', { get: () => (existsSync(left) ? 0 : 100_000_000) });
    world.plans = plans();
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect((await story.contentOf(v2)).equals(second)).toBe(true);
  });

  it('what the plan itself goes on with stays', async () => {
    const { world, sync, versions, v2, diff } = story;
    await story.holdFirst();
    const left = `${blobPath(versions.fetchFolder(v2.digest), diff.blobDigest)}.partial`;
    await mkdir(dirname(left), { recursive: true });
    await writeFile(left, world.blobs.get(diff.blobDigest)!.subarray(0, 500));
    world.freeBytes = 0;
    world.plans = [story.byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({
      phase: 'Failed',
      reason: expect.stringMatching(/^Not enough/),
    });
    expect(existsSync(left)).toBe(true);
  });
});

describe('a filesystem without hard links (invariant 5)', () => {
  let story: PlannedStory;
  beforeEach(async () => {
    story = await openStory();
    await story.holdFirst();
  }, 30_000);
  afterEach(() => story.stop());

  const withoutLinks = () =>
    new VersionFolder(story.path, () => Promise.reject(Object.assign(new Error('no links'), { code: 'ENOTSUP' })));

  it('copies', async () => {
    await story.versions.remove(story.v1.digest);
    await withoutLinks().assemble(story.v1);
    await story.onlyWhole();
  });

  it('a copy that is not what it should be is no version', async () => {
    await story.versions.remove(story.v1.digest);
    const path = blobPath(story.versions.blobsFolder, story.v1.files[0]!.digest);
    await chmod(path, 0o600);
    await writeFile(path, 'something else');
    await expect(withoutLinks().assemble(story.v1)).rejects.toThrow(/its copy has digest/);
    expect(await story.versions.digests()).toEqual([]);
  });
});
