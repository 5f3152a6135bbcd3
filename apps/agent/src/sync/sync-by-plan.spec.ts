import { createHash } from 'node:crypto';
import { appendFile, chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { SyncPlanReply } from '#contracts';
import type { DesiredVersion } from '#domain';
import { config, first, openStory, type PlannedStory, second, third } from '../../test/planned-story.ts';
import { type Answer, cutInTheMiddle, type StepFile } from '../../test/planned-world.ts';
import { until } from '../../test/temporary-folder.ts';
import { blobPath } from './blob-download.ts';

const flipped: Answer = (_request, response, content) => {
  const wrong = Buffer.from(content);
  wrong[wrong.length - 5]! ^= 1;
  response.end(wrong);
};
const broken: Answer = (_request, response) => response.destroy();
const status =
  (code: number): Answer =>
  (_request, response) =>
    void response.writeHead(code).end();

// Files are made on worker threads, which start late on a busy machine.
jest.setTimeout(60_000);

describe('bringing a version here by a plan (invariant 5)', () => {
  let story: PlannedStory;
  let world: PlannedStory['world'];
  let v1: DesiredVersion;
  let v2: DesiredVersion;
  let v3: DesiredVersion;
  let diff: StepFile;
  let snapshot: StepFile;
  let sync: PlannedStory['sync'];
  let versions: PlannedStory['versions'];
  let holdFirst: PlannedStory['holdFirst'];
  let byDiff: PlannedStory['byDiff'];
  let bySnapshot: PlannedStory['bySnapshot'];
  let contentOf: PlannedStory['contentOf'];
  let fetchFolders: PlannedStory['fetchFolders'];
  let onlyWhole: PlannedStory['onlyWhole'];

  beforeEach(async () => {
    story = await openStory();
    ({
      world,
      v1,
      v2,
      v3,
      diff,
      snapshot,
      sync,
      versions,
      holdFirst,
      byDiff,
      bySnapshot,
      contentOf,
      fetchFolders,
      onlyWhole,
    } = story);
  }, 30_000);
  afterEach(() => story.stop());

  it('a direct diff: only its bytes travel, the result is verified, nothing of the way is left', async () => {
    await holdFirst();
    world.plans = [byDiff()];
    const report = await world.settle(sync, v2);
    expect(report).toMatchObject({ phase: 'Held', reason: '', bytesHave: report.bytesTotal });
    expect(Date.parse(report.verifiedAt!)).toBeLessThanOrEqual(Date.now());
    expect((await contentOf(v2)).equals(second)).toBe(true);
    expect([world.requests, world.asked, world.held]).toEqual([['registry diff'], [['v1']], ['v2 new']]);
    expect([await fetchFolders(), diff.blobBytes < second.length / 4]).toEqual([[], true]);
    expect(await readdir(join(story.path, 'blobs', 'sha256'))).toHaveLength(3);
    await onlyWhole();
  });

  it('a chain: the file in between serves the next step, and is nowhere afterwards', async () => {
    await holdFirst();
    const next = await world.diff(second, third, 'diff 2');
    const steps = [world.step([diff], { artifact: 1 }), world.step([next], { artifact: 2 })];
    world.plans = [world.go(steps, { path: 'diff-chain' })];
    expect(await world.settle(sync, v3)).toMatchObject({ phase: 'Held' });
    expect((await contentOf(v3)).equals(third)).toBe(true);
    expect([world.requests, await fetchFolders()]).toEqual([['registry diff', 'registry diff 2'], []]);
    expect(await readdir(join(story.path, 'blobs', 'sha256'))).toHaveLength(3);
  });

  it('a snapshot, with nothing here before; what is in no step comes as a whole file', async () => {
    world.plans = [bySnapshot()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect((await contentOf(v2)).equals(second)).toBe(true);
    expect(world.requests).toEqual(['registry snapshot', 'whole config.json@3']);
  });

  it('whole files from a neighbour, with its own token', async () => {
    const files = [world.whole(second), world.whole(config)];
    world.plans = [world.go([world.step(files, { source: 'edge-2' })], { path: 'whole-files' })];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(world.requests).toEqual(['edge-2 model.safetensors@2', 'edge-2 config.json@3']);
  });

  it('found on disk after a restart, a version is proven and named as held before the question', async () => {
    await holdFirst();
    const again = await world.open();
    world.plans = [byDiff()];
    expect(await world.settle(again.sync, v2)).toMatchObject({ phase: 'Held' });
    expect([world.asked, world.requests, [...again.sync.heldDigests]]).toEqual([
      [['v1']],
      ['registry diff'],
      [v1.digest, v2.digest],
    ]);
  });

  const badArtifacts: { name: string; spoil: () => Promise<StepFile> | StepFile }[] = [
    {
      name: 'a flipped bit in its blob',
      spoil: () => {
        world.answers.set(diff.blobDigest, [flipped]);
        return diff;
      },
    },
    {
      name: 'a blob that was cut',
      spoil: () => {
        world.answers.set(diff.blobDigest, [(_request, response, content) => response.end(content.subarray(0, 100))]);
        return diff;
      },
    },
    {
      name: 'a blob that is gone',
      spoil: () => {
        world.blobs.delete(diff.blobDigest);
        return diff;
      },
    },
    {
      name: 'a good blob that makes another file',
      spoil: async () => {
        const { blobDigest, blobBytes } = await world.diff(first, third, 'wrong');
        return { ...diff, blobDigest, blobBytes };
      },
    },
    {
      name: 'a good blob on another base',
      spoil: async () => {
        const { blobDigest, blobBytes } = await world.diff(third, second, 'wrong');
        return { ...diff, blobDigest, blobBytes };
      },
    },
    {
      name: 'a blob that is no diff at all',
      spoil: () => ({ ...diff, blobDigest: world.put('noise', first.subarray(0, 5_000)), blobBytes: 5_000 }),
    },
    {
      name: 'a container whose inside is damaged, with the digest of the damage',
      spoil: () => {
        const wrong = Buffer.from(world.blobs.get(diff.blobDigest)!);
        wrong[Math.floor(wrong.length * 0.6)]! ^= 4;
        return { ...diff, blobDigest: world.put('wrong', wrong), blobBytes: wrong.length };
      },
    },
    {
      name: 'a snapshot where a diff was promised',
      spoil: () => ({ ...diff, blobDigest: snapshot.blobDigest, blobBytes: snapshot.blobBytes }),
    },
  ];
  it.each(badArtifacts)(
    'an artifact that is no good is avoided, and the next plan asked for: $name',
    async ({ spoil }) => {
      await holdFirst();
      world.plans = [world.go([world.step([await spoil()], { artifact: 1 })]), bySnapshot()];
      expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
      expect((await contentOf(v2)).equals(second)).toBe(true);
      expect([world.avoided, world.asked.length, world.drifts, await fetchFolders()]).toEqual([
        ['artifact 1'],
        2,
        [],
        [],
      ]);
      expect(world.requests.at(-1)).toBe('registry snapshot');
      await onlyWhole();
    },
  );

  it('after three such artifacts, whole files', async () => {
    await holdFirst();
    const wrong = [1, 2, 3].map((artifact) => {
      const blobDigest = world.put(`wrong ${artifact}`, first.subarray(artifact, 500));
      return world.go([world.step([{ ...diff, blobDigest, blobBytes: 500 - artifact }], { artifact })]);
    });
    world.plans = [...wrong, byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(world.avoided).toEqual(['artifact 1', 'artifact 2', 'artifact 3']);
    expect([world.requests.at(-1), world.plans.length]).toEqual(['whole model.safetensors@2', 1]);
  });

  const nonsense: { name: string; plan: () => SyncPlanReply }[] = [
    { name: 'that makes nothing of it', plan: () => world.go([world.step([], { artifact: 1 })]) },
    {
      name: 'that gives a file another size',
      plan: () => world.go([world.step([{ ...diff, sizeBytes: 5 }], { artifact: 1 })]),
    },
    {
      name: 'whose bases make each other',
      plan: () => world.go([world.step([diff, { ...diff, digest: diff.baseDigest!, baseDigest: diff.digest }])]),
    },
  ];
  it.each(nonsense)('a plan $name: whole files', async ({ plan }) => {
    world.plans = [plan()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(world.requests.filter((each) => !each.startsWith('whole '))).toEqual([]);
  });

  it('a base that changed on disk: its version goes, the drift is told, and another way is asked for', async () => {
    await holdFirst();
    const path = blobPath(versions.blobsFolder, diff.baseDigest!);
    await chmod(path, 0o600);
    await writeFile(path, Buffer.concat([first.subarray(0, 1_000), Buffer.alloc(first.length - 1_000)]));
    world.plans = [byDiff(), bySnapshot()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect([world.drifts, world.asked, world.avoided]).toEqual([['v1 model.safetensors'], [['v1'], []], []]);
    expect([sync.heldDigests.has(v1.digest), await versions.digests()]).toEqual([false, [v2.digest]]);
    expect((await contentOf(v2)).equals(second)).toBe(true);
  });

  it('a base whose blob is gone is drift as well', async () => {
    await holdFirst();
    await rm(blobPath(versions.blobsFolder, diff.baseDigest!));
    world.plans = [byDiff(), bySnapshot()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(world.drifts).toEqual(['v1 model.safetensors']);
  });

  const neighbours: { name: string; answer: Answer }[] = [
    { name: 'wrong bytes', answer: flipped },
    { name: 'too few bytes', answer: (_request, response, content) => response.end(content.subarray(0, 10)) },
    {
      name: 'too many bytes',
      answer: (_request, response, content) => response.end(Buffer.concat([content, content])),
    },
    { name: 'no answer', answer: broken },
    { name: 'a refused token', answer: status(403) },
    { name: 'no such blob', answer: status(404) },
    { name: 'an error', answer: status(500) },
  ];
  it.each(neighbours)('a neighbour that fails is left alone, and another way asked for: $name', async ({ answer }) => {
    const wanted = [world.whole(second), world.whole(config)];
    world.answers.set(`edge-2 ${diff.digest}`, [answer]);
    world.plans = [
      world.go([world.step(wanted, { source: 'edge-2' })], { path: 'whole-files' }),
      world.go([world.step(wanted)], { path: 'whole-files' }),
    ];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect([world.avoided, world.asked.length]).toEqual([['edge-2'], 2]);
    expect((await contentOf(v2)).equals(second)).toBe(true);
  });

  it('what a neighbour poisoned before it went away is found and fetched anew', async () => {
    world.answers.set(`edge-2 ${diff.digest}`, [
      (_request, response, content) => {
        response.writeHead(200, { 'content-length': content.length });
        response.write(Buffer.alloc(1_000, 7), () => response.destroy());
      },
    ]);
    world.plans = [
      world.go([world.step([world.whole(second)], { source: 'edge-2' })], { path: 'whole-files' }),
      world.go([world.step([world.whole(second)])], { path: 'whole-files' }),
    ];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect((await contentOf(v2)).equals(second)).toBe(true);
    expect(world.avoided).toEqual(['edge-2']);
  });

  it('the registry gone half-way and back: the next try goes on where it stopped', async () => {
    await holdFirst();
    world.answers.set(diff.blobDigest, [cutInTheMiddle]);
    world.plans = [byDiff()];
    const report = await world.settle(sync, v2);
    expect(report.phase).toBe('Failed');
    expect(report.reason).toMatch(/transfer broke/);
    expect([...sync.heldDigests]).toEqual([v1.digest]);
    world.isAway = true;
    world.plans = [byDiff()];
    expect((await world.settle(sync, v2)).reason).toMatch(/cannot be reached/);
    world.isAway = false;
    world.plans = [byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(world.requests).toEqual(['registry diff', expect.stringMatching(/^registry diff( from \d+)?$/)]);
    expect(world.avoided).toEqual([]);
  });

  it('the plan changes between two tries: what came of the first is kept until the version is here', async () => {
    await holdFirst();
    world.answers.set(diff.blobDigest, [cutInTheMiddle]);
    world.plans = [byDiff()];
    await world.settle(sync, v2);
    world.plans = [bySnapshot()];
    world.answers.set(snapshot.blobDigest, [cutInTheMiddle]);
    await world.settle(sync, v2);
    expect(await readdir(join(versions.fetchFolder(v2.digest), 'sha256'))).toHaveLength(2);
    world.plans = [byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect([world.requests.at(-1), await fetchFolders()]).toEqual([
      expect.stringMatching(/^registry diff( from \d+)?$/),
      [],
    ]);
  });

  it('a plan that says to wait ends the try; a changed document asks again at once', async () => {
    await holdFirst();
    const begunMs = performance.now();
    world.plans = [{ decision: 'wait', reason: 'waits for the window 02:00–05:00 UTC', retryAfterSeconds: 60 }];
    expect(await world.settle(sync, v2)).toMatchObject({
      phase: 'Fetching',
      reason: 'waits for the window 02:00–05:00 UTC',
      sync: { path: 'waiting', bytesPerSecond: 0, etaSeconds: null },
    });
    expect(sync.fetchRetryAtMs.get(v2.digest)).toBeGreaterThanOrEqual(begunMs + 60_000);
    expect([world.requests, [...sync.fetchingDigests]]).toEqual([[], []]);
    sync.wake();
    expect(sync.fetchRetryAtMs.get(v2.digest)).toBe(0);
    world.plans = [byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(sync.fetchRetryAtMs.size).toBe(0);
  });

  it('R8: what failed while nobody could be asked is tried again at once when that is over', async () => {
    world.answers.set(snapshot.blobDigest, [broken]);
    world.plans = [bySnapshot()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Failed' });
    sync.wake();
    expect(sync.fetchRetryAtMs.get(v2.digest)).toBeGreaterThan(0);
    sync.reconnected();
    expect(sync.fetchRetryAtMs.get(v2.digest)).toBe(0);
  });

  it('R8: whatever the plan says, it is asked for again after five minutes', async () => {
    world.plans = [{ decision: 'wait', reason: 'waits', retryAfterSeconds: 86_400 }];
    await world.settle(sync, v2);
    expect(sync.fetchRetryAtMs.get(v2.digest)).toBeLessThanOrEqual(performance.now() + 300_000);
  });

  it('a window that closes in the middle: what came stays, nothing more comes, and the next window goes on', async () => {
    await holdFirst();
    // The rest of the answer never comes, so only the window ends it.
    world.answers.set(diff.blobDigest, [
      (_request, response, content) => void response.writeHead(200).write(content.subarray(0, 999)),
    ]);
    world.plans = [{ ...byDiff(), windowClosesInSeconds: 1 } as SyncPlanReply];
    const report = await world.settle(sync, v2);
    expect(report).toMatchObject({ phase: 'Fetching', reason: 'waits for its window, which has closed' });
    expect(world.avoided).toEqual([]);
    world.plans = [byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    // On a very busy machine the window may close before the first byte.
    expect(world.requests.at(-1)).toMatch(/^registry diff( from \d+)?$/);
  });

  it('takes no more than the rate of the plan', async () => {
    await holdFirst();
    const begunMs = performance.now();
    // Nothing was saved up before the plan said so, and every piece is paid for before the next, or the end.
    world.plans = [{ ...bySnapshot(), bytesPerSecondMax: snapshot.blobBytes * 2 } as SyncPlanReply];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(performance.now() - begunMs).toBeGreaterThanOrEqual(490);
  });

  it('withdrawn in the middle: the transfer ends, v1 stays, and the sweep takes what came', async () => {
    await holdFirst();
    const begun = Promise.withResolvers<void>();
    world.answers.set(diff.blobDigest, [
      (_request, response, content) =>
        void response.writeHead(200).write(content.subarray(0, 999), () => begun.resolve()),
    ]);
    world.plans = [byDiff()];
    sync.fetch(v2);
    await begun.promise;
    sync.cancel(v2.digest);
    await until(() => sync.fetchingDigests.size === 0, 'the fetch ended');
    expect([[...sync.heldDigests], sync.fetchRetryAtMs.size, await fetchFolders()]).toEqual([
      [v1.digest],
      0,
      [v2.digest],
    ]);
    await versions.sweep(new Set(v1.files.map(({ digest }) => digest)), new Set());
    expect(await fetchFolders()).toEqual([]);
    await onlyWhole();
  });

  it('two versions with files in common, at once: each file once', async () => {
    await holdFirst();
    const other = world.version(4, { 'copy.safetensors': second, 'other.json': Buffer.from('{"other":1}') });
    world.plans = [byDiff(), byDiff()];
    sync.fetch(v2);
    sync.fetch(other);
    await until(() => sync.fetchingDigests.size === 0, 'both ended', 30_000);
    expect([...sync.heldDigests].sort()).toEqual([v1.digest, v2.digest, other.digest].sort());
    expect((await readFile(join(versions.pathOf(other.digest), 'copy.safetensors'))).equals(second)).toBe(true);
    expect(world.requests.filter((each) => each.startsWith('whole '))).toEqual(['whole other.json@4']);
  });

  it('tells how far it is: path, source, bytes on the wire', async () => {
    await holdFirst();
    const begun = Promise.withResolvers<void>();
    world.answers.set(diff.blobDigest, [
      (_request, response, content) =>
        void response.writeHead(200).write(content.subarray(0, 999), () => begun.resolve()),
    ]);
    world.plans = [byDiff()];
    sync.fetch(v2);
    await begun.promise;
    await until(() => sync.report([v2])[0]!.sync?.wireBytesHave === 999, 'bytes are told');
    expect(sync.report([v2])[0]).toMatchObject({
      phase: 'Fetching',
      reason: '',
      bytesTotal: second.length + config.length,
      bytesHave: config.length,
      sync: { path: 'direct-diff', source: 'registry', wireBytesHave: 999, wireBytesTotal: diff.blobBytes },
    });
    expect(world.progressTold).toBeGreaterThan(0);
  });

  it('a token that is refused before anything came is a failure, not a loop', async () => {
    await holdFirst();
    world.answers.set(diff.blobDigest, [status(401)]);
    world.plans = [byDiff(), byDiff()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Failed', reason: expect.stringContaining('token') });
    expect([world.plans.length, world.avoided]).toEqual([1, []]);
  });

  it('says when every byte was last hashed', async () => {
    await holdFirst();
    const at = new Date('2026-01-02T03:04:05.000Z');
    sync.verified(v1.digest, at);
    sync.verified(v2.digest, at);
    expect(sync.report([v1, v2]).map(({ verifiedAt }) => verifiedAt)).toEqual([at.toISOString(), undefined]);
    expect(await sync.findDamaged(v1.digest, new AbortController().signal)).toBeNull();
    const path = join(versions.pathOf(v1.digest), 'config.json');
    await chmod(path, 0o600);
    await appendFile(path, ' ');
    const foundDigest = createHash('sha256').update(`${config} `).digest('hex');
    const damaged = await sync.findDamaged(v1.digest, new AbortController().signal);
    expect(damaged).toMatchObject({ path: 'config.json', foundDigest });
    expect(await sync.damaged(damaged!)).toBe(1);
    expect([world.drifts, sync.heldDigests.size, await versions.digests()]).toEqual([['v1 config.json'], 0, []]);
  });
});
