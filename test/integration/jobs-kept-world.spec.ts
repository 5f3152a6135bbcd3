import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import type { Job } from '#domain';
import { KeptWorld } from '../../apps/control-plane/src/jobs/kept-world.ts';
import { JobsWorld } from './jobs.fixture.ts';

let world: JobsWorld;
beforeAll(async () => {
  world = await JobsWorld.start();
});
afterAll(() => world.stop());

const kept = () => new KeptWorld(world.store.read);
const look = (of: KeptWorld) => of.look(world.nowMs);
const running = async (of: KeptWorld) => [...(await look(of)).held.running];

async function change(job: Job, by: Parameters<typeof world.store.read.jobs.update>[0][number]['change']) {
  const { revision } = (await world.store.read.jobs.find({ id: job.id }))!;
  await world.store.transaction((rows) => rows.jobs.update([{ id: job.id, revision, change: by }]));
}

/** All as one that keeps nothing reads it. */
async function expectAsRead(of: KeptWorld): Promise<void> {
  const { held: _held, ...seen } = await look(of);
  const { held: _none, ...want } = await look(kept());
  expect(seen).toEqual(want);
}

describe('the world that the leader keeps', () => {
  it('follows what is written, from submission to end, and is what would be read anew', async () => {
    const reader = kept();
    const cluster = await world.cluster(1, 2);
    const [first, second] = [await world.submit(), await world.submit({ devices: 2 })];
    await expectAsRead(reader);
    await world.cycle();
    await expectAsRead(reader);
    expect((await running(reader)).map(({ id }) => id)).toEqual([first.id]);
    await change(first, { cancelRequestedAt: new Date(world.nowMs) });
    await expectAsRead(reader);
    await cluster.report();
    await world.cycle();
    await expectAsRead(reader);
    await world.store.transaction((rows) => rows.jobs.remove([second.id]));
    await expectAsRead(reader);
  });

  it('keeps what did not change as the same objects, and makes a new one of what did', async () => {
    await world.cluster(1, 8);
    const job = await world.submit();
    await world.submit();
    await world.cycle();
    const reader = kept();
    const before = await running(reader);
    const again = await running(reader);
    expect(again.every((each, index) => each === before[index])).toBe(true);
    await change(job, { preemptions: 1 });
    const after = await running(reader);
    const moved = after.filter((each) => !before.includes(each));
    expect(moved.map(({ id, preemptions }) => ({ id, preemptions }))).toEqual([{ id: job.id, preemptions: 1 }]);
    await change(job, { preemptions: 0 });
    const back = await running(reader);
    expect(back.find(({ id }) => id === job.id)?.preemptions).toBe(0);
  });

  it('keeps a list of nodes of which only how busy they are has changed, and none that changed', async () => {
    const cluster = await world.cluster(2, 2);
    const reader = kept();
    const nodesNow = async () => (await look(reader)).observations.get(cluster.cluster.id)!.report.nodes;
    const before = await nodesNow();
    await rewrite(cluster.cluster.id, (devices) => devices.map((device) => ({ ...device, utilisation: 0.5 })));
    expect(await nodesNow()).toBe(before);
    await rewrite(cluster.cluster.id, (devices) => devices.slice(1));
    expect(await nodesNow()).not.toBe(before);
    expect((await nodesNow())[0]!.devices).toHaveLength(1);
  });

  it('forgets a job whose row was deleted by hand', async () => {
    const job = await world.submit({ suspended: true });
    const reader = kept();
    expect((await look(reader)).jobs.has(job.id)).toBe(true);
    await onSql((client) => client.query('DELETE FROM jobs WHERE id = $1', [job.id]));
    expect((await look(reader)).jobs.has(job.id)).toBe(false);
  });

  it('reads again what it failed to read', async () => {
    const { read } = world.store;
    let isBroken = true;
    const jobs = Object.create(read.jobs) as typeof read.jobs;
    jobs.findAll = async (ids) => {
      if (isBroken) throw new Error('cut');
      return read.jobs.findAll(ids);
    };
    const reader = new KeptWorld({ ...read, jobs });
    await look(reader);
    const job = await world.submit();
    await expect(look(reader)).rejects.toThrow('cut');
    isBroken = false;
    expect((await look(reader)).jobs.has(job.id)).toBe(true);
  });
});

type Devices = readonly { readonly utilisation?: number }[];

async function rewrite(clusterId: string, by: (devices: Devices) => Devices): Promise<void> {
  const last = (await world.store.read.observations.find(clusterId))!;
  const nodes = last.report.nodes.map((node) => ({ ...node, devices: by(node.devices) as typeof node.devices }));
  const report = { ...last.report, sequence: last.report.sequence + 1, nodes };
  await world.store.transaction((rows) => rows.observations.upsert({ ...last, report }));
}

async function onSql(work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: world.databaseUrl });
  await client.connect();
  await work(client).finally(() => client.end());
}
