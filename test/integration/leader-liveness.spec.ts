/** R6: loss is noticed at once and acted on slowly, by a leader whose own absence counts against nobody. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ClusterPhase, DEFAULT_TENANT_ID, StaleEpochError } from '#domain';
import { type HeldLease, migrate, openStore, PostgresLeaderLease, type PostgresStore } from '#store';
import { createTestDatabase, type TestDatabase } from '#testing';
import { FleetLiveness, MonotonicClock } from '../../apps/control-plane/src/federation/fleet-liveness.ts';
import { CountedFederation } from '../../apps/control-plane/src/federation/metrics.ts';
import { LivenessLoop } from '../../apps/control-plane/src/leader/liveness-loop.ts';
import { makeCluster } from './federation.fixture.ts';

class SetClock extends MonotonicClock {
  atMs = 1_000_000;

  override nowMs(): number {
    return this.atMs;
  }
}

let database: TestDatabase;
let store: PostgresStore;
let lease: HeldLease;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 4 });
  lease = await new PostgresLeaderLease({ url: database.url }).acquire('spec', new AbortController().signal);
}, 60_000);
afterAll(async () => {
  await lease?.release();
  await store?.close();
  await database?.drop();
});

/** One observer with a clock of its own; `tick` is one second of a running leader. */
function observe() {
  const clock = new SetClock();
  const liveness = new FleetLiveness(clock);
  const nats = { isConnected: true };
  const loop = new LivenessLoop(store, liveness, () => nats.isConnected, lease.epoch, new CountedFederation());
  const tick = async (seconds: number, alive: readonly string[] = []) => {
    for (let second = 0; second < seconds; second += 1) {
      clock.atMs += 1_000;
      for (const id of alive) liveness.seen(id);
      await loop.run();
    }
  };
  return { clock, liveness, nats, loop, tick };
}

const phaseOf = async (id: string) => (await store.read.clusters.find({ id }))?.phase;

async function history(id: string): Promise<unknown[]> {
  const entries = await store.read.audit.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 });
  const own = entries.filter(({ targetId, actor }) => targetId === id && actor === 'controller:liveness');
  return own.map(({ detail }) => `${detail.from} → ${detail.to}`).reverse();
}

describe('silence', () => {
  it('R6 makes Suspect after 3 s, Unknown after 40 s, and one heartbeat makes Ready again', async () => {
    const { id } = await makeCluster(store);
    const other = await makeCluster(store);
    const { tick, liveness } = observe();
    const phases: (ClusterPhase | undefined)[] = [];
    for (const seconds of [3, 1, 35, 1]) {
      await tick(seconds, [other.id]);
      phases.push(await phaseOf(id));
    }
    liveness.seen(id);
    await tick(1, [id, other.id]);
    phases.push(await phaseOf(id), await phaseOf(other.id));
    expect(phases).toEqual(['Ready', 'Suspect', 'Suspect', 'Unknown', 'Ready', 'Ready']);
    expect(await history(id)).toEqual(['Ready → Suspect', 'Suspect → Unknown', 'Unknown → Ready']);
    expect(await history(other.id)).toEqual([]);
  });

  it('R6 of one that has just joined counts from then on, however long the leader has watched', async () => {
    const { tick } = observe();
    await tick(60);
    const { id } = await makeCluster(store);
    await tick(4);
    expect(await phaseOf(id)).toBe('Ready');
    await tick(1);
    expect(await phaseOf(id)).toBe('Suspect');
    expect(await history(id)).toEqual(['Ready → Suspect']);
  });

  it('R8 of one that is being drained says the same, and Draining while it is heard', async () => {
    const drain = {
      mode: 'move',
      deadlineSeconds: 600,
      since: new Date().toISOString(),
      requestedBy: 'key:a',
    } as const;
    const { id } = await makeCluster(store, { drain, phase: 'Draining' });
    const other = await makeCluster(store);
    const { tick } = observe();
    const phases: (ClusterPhase | undefined)[] = [];
    for (const seconds of [3, 1, 36]) {
      await tick(seconds, [other.id]);
      phases.push(await phaseOf(id));
    }
    await tick(1, [id, other.id]);
    expect([...phases, await phaseOf(id)]).toEqual(['Draining', 'Suspect', 'Unknown', 'Draining']);
  });

  it.each(['PendingApproval', 'Left'] as const)('says nothing of a cluster that is %s', async (phase) => {
    const { id } = await makeCluster(store, { phase });
    await observe().tick(50);
    expect(await phaseOf(id)).toBe(phase);
  });

  it('does not soften Unknown to Suspect for a new leader that has just begun to watch', async () => {
    const { id } = await makeCluster(store, { phase: 'Unknown' });
    await observe().tick(10);
    expect(await phaseOf(id)).toBe('Unknown');
  });
});

describe('what the observer missed itself', () => {
  it('R6 a pause of an hour starts a fresh watch', async () => {
    const { id } = await makeCluster(store);
    const { clock, tick } = observe();
    await tick(1, [id]);
    clock.atMs += 3_600_000;
    await tick(3);
    expect(await phaseOf(id)).toBe('Ready');
    await tick(2);
    expect(await phaseOf(id)).toBe('Suspect');
  });

  it('R6 so does NATS being away', async () => {
    const { id } = await makeCluster(store);
    const { nats, tick } = observe();
    await tick(1, [id]);
    nats.isConnected = false;
    await tick(60);
    nats.isConnected = true;
    await tick(3);
    expect(await phaseOf(id)).toBe('Ready');
  });

  it('R6 and a new term of leadership', async () => {
    const { id } = await makeCluster(store);
    const { clock, liveness, tick } = observe();
    liveness.seen(id);
    clock.atMs += 60_000; // another one leads; this one only listens
    liveness.blind();
    await tick(3);
    expect(await phaseOf(id)).toBe('Ready');
  });
});

it('a leader whose epoch is over judges nobody', async () => {
  const { id } = await makeCluster(store);
  const clock = new SetClock();
  const loop = new LivenessLoop(store, new FleetLiveness(clock), () => true, lease.epoch - 1, new CountedFederation());
  clock.atMs += 2_000;
  await loop.run();
  clock.atMs += 2_000;
  await expect(loop.run()).rejects.toThrow(StaleEpochError);
  expect(await phaseOf(id)).toBe('Ready');
});
