/** The output of a fine-tune becomes a version of its model, in the transaction in which the job succeeds. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { DEFAULT_MODEL_POLICY, DEFAULT_TENANT_ID, type Job, type Model, type ModelVersion } from '#domain';
import { type FakeCluster, JobsWorld } from './jobs.fixture.ts';
import { aName, aVersion, DIGEST } from './store.fixture.ts';

let world: JobsWorld;
let dc: FakeCluster;
let model: Model;
let base: ModelVersion;

beforeEach(async () => {
  world = await JobsWorld.start();
  dc = await world.cluster();
  ({ model, base } = await aModel());
});
afterEach(() => world.stop());

async function aModel() {
  const createdAt = new Date(world.nowMs);
  const model: Model = {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    name: aName('model'),
    policy: DEFAULT_MODEL_POLICY,
    createdAt,
    revision: 1,
  };
  const base = await world.store.transaction(async (rows) => {
    await rows.models.insert(model);
    const { id } = await rows.versions.insert(aVersion(model.id));
    await rows.versions.publish(id, DIGEST, [{ path: 'model.safetensors', digest: DIGEST, sizeBytes: 12 }], null);
    return (await rows.versions.find({ id }))!;
  });
  return { model, base };
}

/** An empty tensor file. */
function safetensors(words: string): Buffer {
  const header = Buffer.from(JSON.stringify({ __metadata__: { words } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header]);
}

const fineTune = (publish: { modelId: string; alias: string | null }, versionId = base.id) =>
  world.submit({
    kind: 'fine-tune',
    spec: { mounts: [{ name: 'base', versionId }], output: { required: true, publish } },
  });

async function finish(job: Job, files: Record<string, string | Buffer>): Promise<string> {
  await world.cycle();
  const outputDigest = await world.keep(files);
  await dc.say(job, { phase: 'Succeeded', ranSeconds: 10, outputDigest });
  await world.cycle();
  return outputDigest;
}

const versions = () => world.store.read.versions.listOfModel(model.id);

describe('a fine-tune that is to be published', () => {
  it('mounts its base, and becomes the next version with that as its parent; the alias moves', async () => {
    const job = await fineTune({ modelId: model.id, alias: 'stable' });
    await world.cycle();
    expect((await dc.taskOf(job))?.mounts).toEqual([{ name: 'base', versionDigest: base.digest }]);
    const document = await world.store.read.desired.find(dc.id);
    expect(document?.versions.map(({ digest }) => digest)).toEqual([base.digest]);

    const outputDigest = await finish(job, { 'model.safetensors': safetensors('tuned') });
    const [newest, older] = await versions();
    expect(newest).toMatchObject({
      number: 2,
      phase: 'Published',
      digest: outputDigest,
      parentId: base.id,
      notes: `made by job ${job.name}`,
      metadata: { job: job.name, jobId: job.id, attempt: '1' },
    });
    expect(older!.id).toBe(base.id);
    expect(await world.job(job)).toMatchObject({ phase: 'Succeeded', outputDigest, publishedVersionId: newest!.id });
    expect(await world.store.read.aliases.find(model.id, 'stable')).toMatchObject({ versionId: newest!.id });
    expect(await world.events(job)).toEqual(['Assigned', 'Succeeded', 'Published']);
    await world.cycle();
    expect(await versions()).toHaveLength(2);
  });

  it('is published once, whoever leads: a leader that is over publishes nothing', async () => {
    const job = await fineTune({ modelId: model.id, alias: null });
    await world.cycle();
    const outputDigest = await world.keep({ 'model.safetensors': safetensors('tuned') });
    await dc.say(job, { phase: 'Succeeded', ranSeconds: 10, outputDigest });
    await world.loseLease();
    await expect(world.cycle()).rejects.toThrow();
    expect(await versions()).toHaveLength(1);
    expect((await world.job(job)).phase).toBe('Starting');
    world.epoch += 1;
    world.lead();
    await world.cycle();
    await world.cycle();
    expect(await versions()).toHaveLength(2);
  });

  it.each([
    { what: 'a pickle', files: { 'model.bin': 'x' }, why: /model\.bin|pickle/ },
    { what: 'not what its name says', files: { 'model.gguf': 'not at all' }, why: /GGUF/ },
  ])('with content that is $what has succeeded, and says why it was not published', async ({ files, why }) => {
    const job = await fineTune({ modelId: model.id, alias: 'stable' });
    const outputDigest = await finish(job, files as unknown as Record<string, string>);
    expect(await world.job(job)).toMatchObject({ phase: 'Succeeded', outputDigest, publishedVersionId: null });
    expect(await versions()).toHaveLength(1);
    const [event] = await world.store.read.jobEvents.list(job.id, { after: null, limit: 1 });
    expect(event).toMatchObject({ kind: 'PublishRefused', message: expect.stringMatching(why) });
  });

  it('to a model that went meanwhile has succeeded all the same', async () => {
    const job = await fineTune({ modelId: v7(), alias: null });
    await finish(job, { 'model.safetensors': safetensors('tuned') });
    expect(await world.job(job)).toMatchObject({ phase: 'Succeeded', publishedVersionId: null });
    expect((await world.events(job)).at(-1)).toBe('PublishRefused');
  });

  it('from a base of another model has no parent', async () => {
    const other = await aModel();
    const job = await fineTune({ modelId: model.id, alias: null }, other.base.id);
    await finish(job, { 'model.safetensors': safetensors('tuned') });
    expect((await versions())[0]).toMatchObject({ number: 2, parentId: null });
  });
});
