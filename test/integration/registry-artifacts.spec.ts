// Encodings of versions: made by the leader after a publish, on demand and by cadence, and byte for byte the version.

import { createHash, randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { VersionArtifact } from '#domain';
import { eventually } from '#testing';
import type { ControlPlane } from '../../apps/control-plane/src/application.ts';
import { wantDueSnapshots } from '../../apps/control-plane/src/artifacts/due-snapshots.ts';
import { wantDiff } from '../../apps/control-plane/src/artifacts/want.ts';
import { LeaderService } from '../../apps/control-plane/src/leader/leader.service.ts';
import { type Answer, type Installation, startInstallation } from './admin.fixture.ts';
import { type Files, madeArtifacts, publishFiles, resultOf, storeOf, tinyLlm } from './registry.fixture.ts';

// A busy machine is no failure.
jest.setTimeout(60_000);

let installation: Installation;
let [v1, v2]: Files[] = [];
beforeAll(async () => {
  installation = await startInstallation();
  [v1, v2] = await Promise.all([tinyLlm('v1'), tinyLlm('v2')]);
}, 180_000);
afterAll(() => installation?.stop(), 60_000);

/** So rare that no run of this spec meets it. */
const NEVER_NOW = { snapshotCron: '0 0 29 2 *' };

async function newModel(name: string): Promise<string> {
  expect(await installation.call('POST', '/api/v1/models', { body: { name, policy: NEVER_NOW } })).toMatchObject({
    status: 201,
    body: { policy: { ...NEVER_NOW, keepVersions: 10, keepDays: 30 } },
  });
  return name;
}

const byProfile = (artifacts: readonly VersionArtifact[]) =>
  [...artifacts].sort((left, right) => left.profile.localeCompare(right.profile, 'en'));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const makingFolder = () => readdir(join(installation.directory, 'blobs', 'making')).catch(() => []);
const epochOf = () => installation.controlPlane.app.get(LeaderService, { strict: false }).epoch()!;

describe('U4: after a publish', () => {
  let [first, second]: Answer['body'][] = [];
  let artifacts: VersionArtifact[] = [];
  beforeAll(async () => {
    const model = await newModel('published');
    first = await publishFiles(installation, model, v1!);
    second = await publishFiles(installation, model, v2!);
    artifacts = byProfile(await madeArtifacts(installation, second.id, 2));
  }, 180_000);

  it('a quick and a small diff against the parent are made, of the files that differ', () => {
    expect([first.parent, second.parent]).toEqual([null, 1]);
    expect(
      artifacts.map(({ profile, phase, baseVersionId, reason }) => [profile, phase, baseVersionId, reason]),
    ).toEqual(['fast', 'small'].map((profile) => [profile, 'Ready', first.id, '']));
    for (const { files, bytes } of artifacts) {
      expect(files.map(({ digest, encoding, baseDigest }) => [digest, encoding, baseDigest])).toEqual([
        [sha256(v2!['model.gguf']!), 'diff', sha256(v1!['model.gguf']!)],
      ]);
      expect(bytes).toBe(files[0]!.blobBytes);
    }
    const [fast, small] = artifacts;
    expect(small!.bytes).toBeLessThan(fast!.bytes);
    expect(fast!.bytes).toBeLessThan(0.6 * second.sizeBytes);
  });

  it('each makes the very bytes of the version', async () => {
    for (const { files } of artifacts) {
      const made = await resultOf(installation, files[0]!);
      expect(Buffer.from(made).equals(v2!['model.gguf']!)).toBe(true);
    }
  });

  it('the API lists them with their share of the version', async () => {
    const { status, body } = await installation.call('GET', '/api/v1/models/published/artifacts');
    expect(status).toBe(200);
    expect(body.items.map((each: Answer['body']) => [each.version, each.base, each.phase])).toEqual([
      [2, 1, 'Ready'],
      [2, 1, 'Ready'],
    ]);
    const fast = body.items.find(({ profile }: Answer['body']) => profile === 'fast');
    expect(fast.percent).toBeCloseTo((100 * fast.bytes) / second.sizeBytes, 1);
    expect(await makingFolder()).toEqual([]);
  });

  it('the same content again has no diffs', async () => {
    const { id, parent, digest } = await publishFiles(installation, 'published', v2!);
    expect([parent, digest]).toEqual([2, second.digest]);
    const { read } = storeOf(installation);
    const { modelId } = (await read.versions.find({ id }))!;
    expect((await read.artifacts.ofModel(modelId)).filter(({ versionId }) => versionId === id)).toEqual([]);
  });
});

describe('on demand', () => {
  beforeAll(async () => {
    const model = await newModel('demanded');
    await publishFiles(installation, model, v1!);
    await publishFiles(installation, model, { 'notes.txt': Buffer.from('nothing of the first') }, { parent: 1 });
    await publishFiles(installation, model, { ...v2!, 'copy.gguf': v2!['model.gguf']! }, { parent: 2 });
  }, 180_000);
  const want = (body: object) => installation.call('POST', '/api/v1/models/demanded/artifacts', { body });

  it('a diff that skips versions is made once, however often it is asked for', async () => {
    const answers = [await want({ version: 3, base: 1 }), await want({ version: 3, base: 1, profile: 'fast' })];
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    const [{ id }, again] = answers.map(({ body }) => body);
    expect(again.id).toBe(id);
    const made = await eventually(
      async () => {
        const artifact = (await storeOf(installation).read.artifacts.find(id))!;
        expect(artifact.phase).toBe('Ready');
        return artifact;
      },
      { timeoutMs: 120_000 },
    );
    // Two files of one content are one entry.
    expect(made.files.map(({ encoding }) => encoding)).toEqual(['diff']);
    expect(Buffer.from(await resultOf(installation, made.files[0]!)).equals(v2!['model.gguf']!)).toBe(true);
  }, 180_000);

  it('a late cluster’s base is wanted once, and both ways of it', async () => {
    const store = storeOf(installation);
    const [model] = (await store.read.models.all()).filter(({ name }) => name === 'demanded');
    const of = async (number: number) => (await store.read.versions.find({ modelId: model!.id, number }))!;
    const [oldest, newest] = [await of(1), await of(3)];
    for (let plan = 0; plan < 3; plan += 1) {
      await store.transaction((rows) => wantDiff(rows, model!, newest, oldest));
    }
    const wanted = (await store.read.artifacts.ofModel(model!.id)).filter(
      ({ versionId, baseVersionId }) => versionId === newest.id && baseVersionId === oldest.id,
    );
    expect(byProfile(wanted).map(({ profile }) => profile)).toEqual(['fast', 'small']);
  });

  it('a snapshot makes every file from nothing; what no codec makes smaller is itself', async () => {
    const { body } = await want({ version: 1, base: null });
    const made = await eventually(
      async () => {
        const artifact = (await storeOf(installation).read.artifacts.find(body.id))!;
        expect(artifact.phase).toBe('Ready');
        return artifact;
      },
      { timeoutMs: 120_000 },
    );
    expect(made).toMatchObject({ profile: 'snapshot', baseVersionId: null });
    expect(made.files.map(({ encoding }) => encoding)).toEqual(['snapshot', 'whole', 'whole']);
    for (const entry of made.files) {
      expect(sha256(await resultOf(installation, entry))).toBe(entry.digest);
    }
  }, 180_000);

  it.each([
    [{ version: 9, base: 1 }, 'version'],
    [{ version: 3, base: 9 }, 'base'],
    [{ version: 3, base: 3 }, 'base'],
  ])('%j is refused', async (body, field) => {
    expect(await want(body)).toMatchObject({ status: 422, body: { errors: [{ field }] } });
  });
});

describe('what goes wrong', () => {
  it('an encoding from a damaged base is never offered', async () => {
    const model = await newModel('damaged');
    const text = randomBytes(20_000).toString('hex');
    const first = await publishFiles(installation, model, { 'a.txt': Buffer.from(text) });
    const digest: string = first.files[0].digest;
    const blob = join(installation.directory, 'blobs', 'sha256', digest.slice(0, 2), digest);
    await writeFile(blob, text.replace('0', '1'));
    const second = await publishFiles(installation, model, { 'a.txt': Buffer.from(`${text}!`) });
    const artifacts = await madeArtifacts(installation, second.id, 2);
    expect(artifacts.map(({ phase, files, bytes }) => [phase, files, bytes])).toEqual([
      ['Failed', [], 0],
      ['Failed', [], 0],
    ]);
    for (const { reason } of artifacts) expect(reason).toMatch(/^wrong base: /);
    expect(await makingFolder()).toEqual([]);
    const metrics = await installation.call('GET', '/metrics');
    expect(metrics.body).toMatch(/atoll_artifact_failures_total\{profile="fast"\} 1/);
  }, 180_000);
});

describe('by cadence', () => {
  it('a snapshot of the newest version is wanted when the cron fired since it was published', async () => {
    const store = storeOf(installation);
    const model = await newModel('cadenced');
    await publishFiles(installation, model, { 'a.txt': Buffer.alloc(5_000, 1) });
    const { id } = await publishFiles(installation, model, { 'a.txt': Buffer.alloc(5_000, 2) });
    const { modelId } = (await store.read.versions.find({ id }))!;
    const snapshots = async () =>
      (await store.read.artifacts.ofModel(modelId)).filter(({ profile }) => profile === 'snapshot');
    await wantDueSnapshots(store, epochOf(), new Date());
    expect(await snapshots()).toEqual([]);
    const inFiveYears = new Date(Date.now() + 5 * 366 * 86_400_000);
    for (let look = 0; look < 2; look += 1) await wantDueSnapshots(store, epochOf(), inFiveYears);
    expect((await snapshots()).map(({ versionId }) => versionId)).toEqual([id]);
  }, 180_000);
});

describe('a maker that goes', () => {
  let leading: ControlPlane;
  const leaderOf = ({ app }: ControlPlane) => app.get(LeaderService, { strict: false });

  it('lets go of what it is at when it stops leading, and the next one makes it', async () => {
    const { read } = storeOf(installation);
    const model = await newModel('handed-over');
    await publishFiles(installation, model, v1!);
    const { id } = await publishFiles(installation, model, v2!);
    const { modelId } = (await read.versions.find({ id }))!;
    // Seen in the making, or, on a quick machine, made already.
    await eventually(
      async () => {
        const phases = (await read.artifacts.ofModel(modelId)).map(({ phase }) => phase);
        expect(phases.some((phase) => phase !== 'Wanted')).toBe(true);
      },
      { timeoutMs: 120_000 },
    );
    leading = await installation.startAnother();
    await leaderOf(installation.controlPlane).onModuleDestroy();
    const made = await madeArtifacts(installation, id, 2);
    expect(made.map(({ phase, reason }) => [phase, reason])).toEqual([
      ['Ready', ''],
      ['Ready', ''],
    ]);
  }, 180_000);

  it('and dies leaves one in the making, which the next one makes', async () => {
    const store = storeOf(installation);
    const second = await installation.startAnother();
    const model = await newModel('abandoned');
    const first = await publishFiles(installation, model, { 'a.txt': Buffer.alloc(5_000, 1) });
    const next = await publishFiles(installation, model, { 'a.txt': Buffer.alloc(6_000, 2) });
    await madeArtifacts(installation, next.id, 2);
    // Somebody takes one as a maker does, and is never heard of again.
    const { modelId, tenantId } = (await store.read.versions.find({ id: next.id }))!;
    const taken = await store.transaction(async (rows) => {
      await rows.artifacts.want({ tenantId, modelId, versionId: first.id, baseVersionId: next.id, profile: 'small' });
      return rows.artifacts.take();
    });
    expect(taken).toMatchObject({ phase: 'Making', baseVersionId: next.id });
    // The one that leads now knows nothing of it; the term after gives it back.
    await leaderOf(leading).onModuleDestroy();
    await eventually(async () => expect((await store.read.artifacts.find(taken!.id))!.phase).toBe('Ready'), {
      timeoutMs: 120_000,
    });
    expect(leaderOf(second).epoch()).not.toBeNull();
  }, 180_000);
});
