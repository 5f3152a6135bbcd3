/** Jobs and replicas share the devices of central clusters: both planners of one leader on a real database. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Deployment, NodeDevices, Placement } from '#domain';
import { CountedFederation } from '../../apps/control-plane/src/federation/metrics.ts';
import { SchedulerLoop } from '../../apps/control-plane/src/leader/scheduler-loop.ts';
import { ServingDemand } from '../../apps/control-plane/src/leader/serving-wants.ts';
import { type FakeCluster, gpus, JobsWorld } from './jobs.fixture.ts';
import { insertDeployment } from './store.fixture.ts';

let world: JobsWorld;
let dc: FakeCluster;
let scheduler: SchedulerLoop;
let demand: ServingDemand;

beforeEach(async () => {
  world = await JobsWorld.start();
  dc = await world.cluster(1, 4);
  demand = new ServingDemand();
  scheduler = new SchedulerLoop(world.store, 0, new CountedFederation(), { nowMs: () => world.nowMs }, demand);
});
afterEach(() => world.stop());

async function cycle(): Promise<void> {
  await scheduler.run(new AbortController().signal);
  world.serving = demand.current();
  await world.cycle();
}

const placementsOf = ({ id }: Deployment) => world.store.read.placements.live({ deploymentId: id });
const devicesOf = ({ devices }: Pick<Placement, 'devices'>) =>
  (devices ?? []).flatMap(({ node, deviceIds }: NodeDevices) => deviceIds.map((id) => `${node}/${id}`));
const heldBy = async (holderId: string) =>
  (await world.store.read.deviceHolds.ofClusters([dc.id]))
    .filter((hold) => hold.holderId === holderId)
    .flatMap(devicesOf);

describe('a replica in a central cluster', () => {
  it('is bound to devices, holds them, and its document says which', async () => {
    const deployment = await insertDeployment(world.store, { claim: gpus(2), selector: {} });
    await cycle();
    const [placement] = await placementsOf(deployment);
    expect(devicesOf(placement!)).toHaveLength(2);
    expect((await heldBy(placement!.id)).sort()).toEqual(devicesOf(placement!).sort());
    const document = await world.store.read.desired.find(dc.id);
    expect(document?.replicas).toMatchObject([{ replicaId: placement!.id, devices: placement!.devices }]);
  });

  it('and a job never get the same device', async () => {
    const deployment = await insertDeployment(world.store, { claim: gpus(1), replicas: 2, selector: {} });
    await cycle();
    const jobs = [await world.submit(), await world.submit(), await world.submit()];
    await cycle();
    const holders = await world.store.read.deviceHolds.ofClusters([dc.id]);
    const devices = holders.flatMap(devicesOf);
    expect(devices).toHaveLength(4);
    expect(new Set(devices).size).toBe(4);
    expect(await placementsOf(deployment)).toHaveLength(2);
    const phases = await Promise.all(jobs.map(async (job) => (await world.job(job)).phase));
    expect(phases.sort()).toEqual(['Queued', 'Starting', 'Starting']);
  });

  it('in an edge cluster is counted with its jobs, and bound by nobody', async () => {
    await world.moveCluster(dc, { phase: 'Left' });
    const edge = await world.cluster(1, 2, { kind: 'edge' });
    const deployment = await insertDeployment(world.store, { claim: gpus(1), selector: {} });
    await cycle();
    const jobs = [await world.submit(), await world.submit()];
    await cycle();
    expect((await placementsOf(deployment)).map(({ devices }) => devices)).toEqual([null]);
    expect(await world.store.read.deviceHolds.ofClusters([edge.id])).toEqual([]);
    const phases = await Promise.all(jobs.map(async (job) => (await world.job(job)).phase));
    expect(phases.sort()).toEqual(['Queued', 'Starting']);
    const started = (await world.store.read.attempts.live()).flatMap(({ tasks }) => tasks);
    expect(started).toMatchObject([{ clusterId: edge.id, devices: null }]);
    // Nor does another replica get what the job has.
    const second = await insertDeployment(world.store, { claim: gpus(1), selector: {} });
    await cycle();
    expect(await placementsOf(second)).toEqual([]);
  });

  it('preempts a job, takes the room that it leaves, and lets the rest go on', async () => {
    const low = await world.submit({ class: 'low', devices: 3 });
    await cycle();
    await dc.say(low, { phase: 'Running', ranSeconds: 10 });
    const deployment = await insertDeployment(world.store, { claim: gpus(2), selector: {} });
    await cycle();
    expect(await placementsOf(deployment)).toEqual([]);
    expect(await world.job(low)).toMatchObject({ phase: 'Stopping', reason: expect.stringContaining(deployment.name) });
    await cycle();
    expect((await world.job(low)).phase).toBe('Stopping');
    await dc.say(low, { phase: 'Stopped', ranSeconds: 12 });
    await cycle();
    await cycle();
    const [placement] = await placementsOf(deployment);
    expect(devicesOf(placement!)).toHaveLength(2);
    expect(await world.job(low)).toMatchObject({ phase: 'Queued', attempts: 1, preemptions: 1 });
    const small = await world.submit({ class: 'low', devices: 2 });
    await cycle();
    expect((await world.job(small)).phase).toBe('Starting');
  });

  it('X04 that must go to another region stops no job where others of it are, however cheap that were', async () => {
    await world.moveCluster(dc, { phase: 'Left' });
    const eu = await world.cluster(1, 2, { region: 'eu' });
    const us = await world.cluster(1, 2, { region: 'us' });
    const cheap = await world.submit({ class: 'low', spec: { selector: { regions: ['eu'] } } });
    const dear = await world.submit({ class: 'low', devices: 2, spec: { selector: { regions: ['us'] } } });
    await cycle();
    await eu.say(cheap, { phase: 'Running', ranSeconds: 10 });
    await us.say(dear, { phase: 'Running', ranSeconds: 3_000 });
    const spread = { by: 'region', minGroups: 2 } as const;
    const deployment = await insertDeployment(world.store, { claim: gpus(1), selector: {}, replicas: 2, spread });
    const places = async () => (await placementsOf(deployment)).map(({ clusterId }) => clusterId).sort();
    await cycle();
    await cycle();
    expect(await places()).toEqual([eu.id]);
    expect([(await world.job(cheap)).phase, (await world.job(dear)).phase]).toEqual(['Running', 'Stopping']);
    await us.say(dear, { phase: 'Stopped', ranSeconds: 3_001 });
    await cycle();
    await cycle();
    expect(await places()).toEqual([eu.id, us.id].sort());
    expect((await world.job(cheap)).phase).toBe('Running');
  });

  it('that is over is charged to its queue, once, and its devices are free', async () => {
    const deployment = await insertDeployment(world.store, { claim: gpus(4), selector: {} });
    await cycle();
    const [placement] = await placementsOf(deployment);
    await world.store.transaction((rows) =>
      rows.deployments.update(deployment.id, deployment.revision, { deletedAt: new Date() }),
    );
    await cycle();
    await dc.report();
    await cycle();
    expect(await placementsOf(deployment)).toEqual([]);
    expect(await heldBy(placement!.id)).toEqual([]);
    const usage = await world.store.read.usage.since('2026-01-01');
    expect(usage).toHaveLength(1);
    expect(usage[0]).toMatchObject({ queueId: deployment.queueId, jobDeviceSeconds: 0, lostDeviceSeconds: 0 });
    expect(usage[0]!.servingDeviceSeconds).toBeGreaterThan(0);
  });
});
