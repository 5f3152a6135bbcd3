/** What the deployment loop does, and does not do, when it is woken and next to nothing has changed. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import type { Node, Rows, Store } from '#domain';
import { eventually } from '#testing';
import { CountedFederation } from '../../apps/control-plane/src/federation/metrics.ts';
import { SchedulerLoop } from '../../apps/control-plane/src/leader/scheduler-loop.ts';
import type { ServingWant } from '../../apps/control-plane/src/leader/serving-wants.ts';
import { type FakeCluster, gpus, JobsWorld } from './jobs.fixture.ts';
import { insertDeployment } from './store.fixture.ts';

let world: JobsWorld;
let dc: FakeCluster;
let scheduler: SchedulerLoop;
/** Table and method of what was read since the last turn, but for what was asked of no row. */
let read: string[];
let told: (readonly ServingWant[])[];

beforeEach(async () => {
  world = await JobsWorld.start();
  dc = await world.cluster(1, 1);
  read = [];
  told = [];
  const store = Object.create(world.store, { read: { value: noting(world.store.read) } }) as Store;
  const serving = { tell: (wants: readonly ServingWant[]) => void told.push(wants) };
  scheduler = new SchedulerLoop(store, 0, new CountedFederation(), { nowMs: () => world.nowMs }, serving);
});
afterEach(() => world.stop());

function noting(rows: Rows): Rows {
  const tables = Object.entries(rows).map(([table, of]) => {
    const get = (target: Record<string, unknown>, method: string) => {
      const whole = target[method];
      if (typeof whole !== 'function') return whole;
      return (...asked: unknown[]) => {
        const [ids] = asked;
        if (!(Array.isArray(ids) && ids.length === 0)) read.push(`${table}.${method}`);
        return whole.apply(of, asked);
      };
    };
    return [table, new Proxy(of, { get } as ProxyHandler<object>)];
  });
  return Object.fromEntries(tables) as Rows;
}

/** @returns what was read */
async function turn(): Promise<string[]> {
  read = [];
  await scheduler.run(new AbortController().signal);
  return read.sort();
}

/** A loop that plans makes wants of its own. */
const isPlannedAnew = () => told.at(-1)![0] !== told.at(-2)![0];

/** A deployment that finds no room, and a loop that has found out. */
async function waiting() {
  const deployment = await insertDeployment(world.store, { claim: gpus(2), selector: {} });
  for (let turns = 0; turns < 3; turns += 1) await turn();
  return deployment;
}

function reportDevices(change: (devices: Node['devices']) => Node['devices']): Promise<void> {
  dc.nodes = dc.nodes.map((node) => ({ ...node, devices: change(node.devices) }));
  return dc.report();
}

const cpu = { id: 'cpu-0', deviceType: 'cpu', memoryBytes: 1e9 } as const;
const addCpu = () => reportDevices((devices) => [...devices, cpu]);
const beBusy = () => reportDevices((devices) => devices.map((device) => ({ ...device, utilisation: 0.7 })));

describe('a fleet in which nothing is to be done', () => {
  it('is neither read nor planned again: only what changed is asked for', async () => {
    await waiting();
    // What was told may be told again while transactions of other specs are under way on the server.
    await eventually(async () => expect(await turn()).toEqual(['changes.look', 'rollouts.active']));
    expect(isPlannedAnew()).toBe(false);
  });

  it('tells of who waits in every turn, as of a cycle of its own', async () => {
    const { id } = await waiting();
    await turn();
    expect(told.map((wants) => wants.map(({ deployment }) => deployment.id))).toEqual(Array(4).fill([id]));
    expect(new Set(told).size).toBe(4);
  });

  it.each([
    ['a cluster reports another device', addCpu, true],
    ['a cluster reports how busy its devices are', beBusy, false],
    ['a job comes that waits', () => world.submit({ suspended: true }), false],
    ['a deployment comes', () => insertDeployment(world.store, { replicas: 0 }), true],
    ['a cluster is cordoned', () => world.moveCluster(dc, { cordoned: true }), true],
  ])('%s: planned anew %p', async (_name, change, want) => {
    await waiting();
    await change();
    await turn();
    expect(isPlannedAnew()).toBe(want);
  });

  it('X03 a job that ends makes room, which is taken in the next turn', async () => {
    const job = await world.submit();
    await world.cycle();
    const deployment = await insertDeployment(world.store, { claim: gpus(1), selector: {} });
    for (let turns = 0; turns < 3; turns += 1) await turn();
    const placed = () => world.store.read.placements.live({ deploymentId: deployment.id });
    expect(await placed()).toEqual([]);
    await dc.say(job, { phase: 'Succeeded', exitCode: 0 });
    await world.cycle();
    await turn();
    expect(await placed()).toHaveLength(1);
  });
});

describe('what time alone may change', () => {
  it('is planned in every turn, and once the time has come', async () => {
    const other = await world.cluster(1, 1, { cordoned: true });
    await world.cluster(1, 0);
    const deployment = await insertDeployment(world.store, { claim: gpus(1), selector: {} });
    await turn();
    const [placement] = await world.store.read.placements.live({ deploymentId: deployment.id });
    expect(placement!.clusterId).toBe(dc.id);
    await world.moveCluster(other, { cordoned: false });
    await world.moveCluster(dc, { phase: 'Unknown' });
    for (let turns = 0; turns < 3; turns += 1) await turn();
    const clusters = async () =>
      (await world.store.read.placements.live({ deploymentId: deployment.id })).map(({ clusterId }) => clusterId);
    expect(await clusters()).toEqual([dc.id]);
    world.pass(deployment.disconnect.lostAfterSeconds + 1);
    await turn();
    expect((await clusters()).sort()).toEqual([dc.id, other.id].sort());
  });
});

describe('a fleet of which something was written that was not told', () => {
  it('P22 is read anew once plans were refused again and again', async () => {
    await turn();
    await unseen('UPDATE clusters SET cordoned = true');
    const deployment = await insertDeployment(world.store, { claim: gpus(1), selector: {} });
    const outcomes: string[] = [];
    for (let turns = 0; turns < 4; turns += 1) {
      await turn();
      const [newest] = await world.store.read.decisions.newest(deployment.id, 1);
      outcomes.push(newest!.outcome);
    }
    const refused = expect.stringContaining('was not taken: it was cordoned meanwhile');
    expect(outcomes).toEqual([refused, refused, refused, expect.stringContaining('0/1 clusters fit')]);
  });
});

/** As from a tool that keeps triggers from firing. */
async function unseen(statement: string): Promise<void> {
  const client = new Client({ connectionString: world.databaseUrl });
  await client.connect();
  await client.query('SET session_replication_role = replica');
  await client.query(statement).finally(() => client.end());
}

describe('a turn in which something failed', () => {
  it('is made again although nothing was written since', async () => {
    await waiting();
    await insertDeployment(world.store, { replicas: 0 });
    const { store } = world;
    store.transaction = () => Promise.reject(new Error('cut'));
    await expect(turn()).rejects.toThrow('cut');
    await expect(turn()).rejects.toThrow('cut');
    Reflect.deleteProperty(store, 'transaction');
    await turn();
    await turn();
    expect(isPlannedAnew()).toBe(true);
    await turn();
    expect(isPlannedAnew()).toBe(false);
  });
});
