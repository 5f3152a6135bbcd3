/** What agents say of tasks over the wire: checkpoints and ends, taken once, from the newest attempt alone. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { type Attempt, type Job, manifestText } from '#domain';
import { attemptOf, jobOf } from '#testing';
import { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';
import { EventIntake } from '../../apps/control-plane/src/federation/event-intake.ts';
import {
  type Centre,
  CPU,
  makeCluster,
  type Servers,
  startCentre,
  startServers,
  until,
  WireAgent,
} from './federation.fixture.ts';
import { aName } from './store.fixture.ts';

let servers: Servers;
let centre: Centre;
let agent: WireAgent;
let job: Job;
let attempt: Attempt;

beforeAll(async () => {
  servers = await startServers();
  centre = await startCentre(servers, { leads: false });
  const cluster = await makeCluster(servers.store);
  agent = await WireAgent.connect(servers, cluster.id);
}, 60_000);
afterAll(async () => {
  await agent?.stop();
  await centre?.stop();
  await servers?.stop();
});

/** A job that runs in the agent's cluster, at its second attempt. */
beforeEach(async () => {
  job = jobOf({ id: v7(), name: aName('job'), phase: 'Running', attempts: 2 });
  attempt = attemptOf(job, { id: v7(), clusterId: agent.clusterId, number: 2, epoch: 7, phase: 'Running', claim: CPU });
  await servers.store.transaction(async (rows) => {
    await rows.jobs.insert([job]);
    await rows.attempts.insert([attempt]);
  });
});

const present = async () => (await servers.store.read.jobs.find({ id: job.id }))!;
const inUse = () => servers.store.read.versions.blobDigestsInUse();

/** Puts a manifest of one file, and unless it says otherwise the file, where uploads end. */
async function upload(content: string, options: { file: boolean } = { file: true }) {
  const blobs = centre.app.get(BlobStore);
  const put = async (bytes: Buffer, isThere = true) => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    const folder = join(servers.operatorDirectory, 'staged');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, digest), bytes);
    if (isThere) await blobs.adopt(join(folder, digest), digest);
    return digest;
  };
  const bytes = Buffer.from(content);
  const file = await put(bytes, options.file);
  const manifest = await put(Buffer.from(manifestText([{ path: 'state.bin', digest: file, sizeBytes: bytes.length }])));
  return { file, manifest };
}

const saved = (manifestDigest: string, sequence = 1) => ({
  sequence,
  manifestDigest,
  sizeBytes: 7,
  progress: `step ${sequence}`,
  ranSeconds: 10,
});

async function tellSaved(
  checkpoint: ReturnType<typeof saved>,
  change: Record<string, unknown> = {},
  teller = agent,
): Promise<string> {
  const event = { id: v7() as string, kind: 'checkpoint-saved', at: new Date().toISOString(), checkpoint };
  await teller.tell({ ...event, jobId: job.id, attemptId: attempt.id, epoch: attempt.epoch, ...change });
  await until('the answer', async () => teller.acked.includes(event.id));
  return event.id;
}

async function refusals() {
  const entries = await servers.store.read.audit.list({ tenantId: job.tenantId, after: null, limit: 100 });
  return entries.filter(({ action, targetId }) => action === 'jobs.refused' && targetId === job.id);
}

describe('a saved checkpoint', () => {
  it('becomes what the job resumes from, and its blobs are kept', async () => {
    const { file, manifest } = await upload('one');
    await tellSaved(saved(manifest));
    expect((await present()).checkpoint).toMatchObject({
      attemptId: attempt.id,
      sequence: 1,
      manifestDigest: manifest,
      progress: 'step 1',
      savedDeviceSeconds: 10,
    });
    const kept = await inUse();
    expect([file, manifest].map((digest) => kept.has(digest))).toEqual([true, true]);
    expect(await refusals()).toEqual([]);
  });

  it('of a job of another tenant than the cluster’s counts as well: the fleet is everybody’s', async () => {
    const tenant = { id: v7(), name: aName('tenant'), createdAt: new Date() };
    job = { ...job, id: v7(), tenantId: tenant.id };
    attempt = { ...attempt, id: v7(), jobId: job.id, tenantId: tenant.id };
    await servers.store.transaction(async (rows) => {
      await rows.tenants.insert(tenant);
      await rows.jobs.insert([job]);
      await rows.attempts.insert([attempt]);
    });
    const { manifest } = await upload('one');
    await tellSaved(saved(manifest));
    expect((await present()).checkpoint).toMatchObject({ manifestDigest: manifest });
  });

  it('comes twice, and late, and changes nothing then', async () => {
    const [first, second] = [await upload('first'), await upload('second')];
    const id = await tellSaved(saved(second.manifest, 2));
    const { revision } = await present();
    // The stream keeps the same message from coming twice; another stream would not.
    const body = { id, kind: 'checkpoint-saved', at: new Date().toISOString(), checkpoint: saved(second.manifest, 2) };
    const event = { ...body, jobId: job.id, attemptId: attempt.id, epoch: 7 };
    await centre.app.get(EventIntake).take({ clusterId: agent.clusterId, messageId: id, body: event, deliveries: 2 });
    await tellSaved(saved(first.manifest, 1));
    expect(await present()).toMatchObject({ revision, checkpoint: { sequence: 2 } });
  });

  it('keeps the one before it, and lets go of what is older', async () => {
    const uploads = [await upload('a'), await upload('b'), await upload('c')];
    for (const [index, { manifest }] of uploads.entries()) await tellSaved(saved(manifest, index + 1));
    const kept = await inUse();
    expect(uploads.map(({ file }) => kept.has(file))).toEqual([false, true, true]);
    expect(uploads.map(({ manifest }) => kept.has(manifest))).toEqual([false, true, true]);
    const { checkpoint } = await present();
    expect([checkpoint?.sequence, checkpoint?.before?.sequence]).toEqual([3, 2]);
    expect(checkpoint?.before).not.toHaveProperty('before');
  });

  it.each([
    ['an older epoch', () => ({ epoch: 6 }), 'it is of epoch 6; the attempt is of epoch 7'],
    ['an unknown attempt', () => ({ attemptId: v7() }), 'there is no such attempt'],
    ['another job', () => ({ jobId: v7() }), 'there is no such attempt'],
  ])('of %s is refused, and the audit log says so', async (_what, change, refused) => {
    const { manifest } = await upload('one');
    const changed = change();
    const event = { ...changed };
    await tellSaved(saved(manifest), event);
    expect((await present()).checkpoint).toBeNull();
    if (!('jobId' in event)) expect((await refusals()).map(({ detail }) => detail.refused)).toEqual([refused]);
  });

  it('of an older attempt is refused', async () => {
    const { manifest } = await upload('one');
    await servers.store.transaction(async (rows) => {
      await rows.attempts.update([{ id: attempt.id, change: { phase: 'Ended', outcome: 'lost' } }]);
      await rows.jobs.update([{ id: job.id, revision: 1, change: { attempts: 3 } }]);
    });
    await tellSaved(saved(manifest));
    expect((await present()).checkpoint).toBeNull();
    expect((await refusals()).map(({ detail }) => detail.refused)).toEqual(['attempt 2 is over; the newest is 3']);
  });

  it('of the newest attempt counts although that has ended: what is saved is saved', async () => {
    const { manifest } = await upload('one');
    await servers.store.transaction((rows) =>
      rows.attempts.update([{ id: attempt.id, change: { phase: 'Ended', outcome: 'lost' } }]),
    );
    await tellSaved(saved(manifest));
    expect((await present()).checkpoint).toMatchObject({ manifestDigest: manifest });
  });

  it('without all of its bytes is none', async () => {
    const { manifest } = await upload('never came', { file: false });
    await tellSaved(saved(manifest));
    await tellSaved(saved('f'.repeat(64), 2));
    expect((await present()).checkpoint).toBeNull();
    expect((await refusals()).map(({ detail }) => detail.refused)).toEqual(
      Array.from({ length: 2 }, () => 'not all of its bytes are in the registry'),
    );
  });

  it('of a cluster in which the attempt has no task is refused', async () => {
    const other = await makeCluster(servers.store);
    const stranger = await WireAgent.connect(servers, other.id);
    const { manifest } = await upload('one');
    await tellSaved(saved(manifest), {}, stranger);
    await stranger.stop();
    expect((await present()).checkpoint).toBeNull();
    expect((await refusals()).map(({ detail }) => detail.refused)).toEqual(['the attempt has no task in this cluster']);
  });
});

describe('the end of a task', () => {
  const ended = (change: Record<string, unknown> = {}) => ({
    taskId: `${attempt.id}-0`,
    attemptId: attempt.id,
    jobId: job.id,
    rank: 0,
    epoch: 7,
    phase: 'Succeeded',
    reason: '',
    ranSeconds: 12,
    ...change,
  });

  async function tellEnded(task: ReturnType<typeof ended>) {
    const id = v7();
    await agent.tell({ id, kind: 'task-ended', at: new Date().toISOString(), task });
    await until('the answer', async () => agent.acked.includes(id));
  }

  const said = async () =>
    (await servers.store.read.observations.find(agent.clusterId))?.report.tasks?.filter(
      ({ jobId }) => jobId === job.id,
    );

  it('is known before the next report, which tells the same', async () => {
    agent.report();
    await until('a report', () => servers.store.read.observations.find(agent.clusterId));
    await tellEnded(ended());
    expect(await said()).toMatchObject([{ phase: 'Succeeded', ranSeconds: 12 }]);
    await tellEnded(ended());
    expect(await said()).toHaveLength(1);
  });

  it('keeps the output from then on', async () => {
    const { file, manifest } = await upload('the output');
    await tellEnded(ended({ outputDigest: manifest }));
    const kept = await inUse();
    expect([file, manifest].map((digest) => kept.has(digest))).toEqual([true, true]);
  });

  it('of another epoch is refused', async () => {
    await tellEnded(ended({ epoch: 3 }));
    expect((await refusals()).map(({ detail }) => detail.refused)).toEqual([
      'it is of epoch 3; the attempt is of epoch 7',
    ]);
  });
});
