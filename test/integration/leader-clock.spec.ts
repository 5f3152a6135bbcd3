/**
 * One clock for all that is judged by time, on a real database: leaders and API processes whose wall clocks are wrong
 * change nothing (R22). Time passes without anybody waiting: the installation's clock is put ahead, and the monotonic
 * clocks of the leaders with it.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { createJobSchema } from '#contracts';
import { DEFAULT_TENANT_ID, type Job, type Rows, type Store } from '#domain';
import { JobLoop } from '../../apps/control-plane/src/jobs/job-loop.ts';
import { JobMetrics } from '../../apps/control-plane/src/jobs/job-metrics.ts';
import { Jobs } from '../../apps/control-plane/src/jobs/jobs.ts';
import { OutputPublisher } from '../../apps/control-plane/src/jobs/publish-output.ts';
import { removeExpired } from '../../apps/control-plane/src/jobs/removal.ts';
import { LeaderClock } from '../../apps/control-plane/src/leader/leader-clock.ts';
import { Mutations } from '../../apps/control-plane/src/mutations/mutations.ts';
import { changeVersion } from '../../apps/control-plane/src/rollouts/version-change.ts';
import type { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import { type FakeCluster, gpus, JobsWorld } from './jobs.fixture.ts';
import { aPlacement, aVersion, DIGEST, insertCluster, insertDeployment, NOW } from './store.fixture.ts';
import { atWrongClock } from './wrong-clock.fixture.ts';

/** Of one subject, by the store. */
const DECISIONS_KEPT = 50;
const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const never = new AbortController().signal;
const owner = { tenantId: DEFAULT_TENANT_ID, keyId: 'k', name: 'key:owner', role: 'owner' } as const;

let world: JobsWorld;
let jobs: Jobs;
let passedMs: number;

beforeEach(async () => {
  world = await JobsWorld.start();
  jobs = new Jobs(world.store, new Mutations(world.store, {} as Secrets), world.blobs);
  passedMs = 0;
});
afterEach(() => world.stop());

/** For everybody, whatever their wall clocks say. */
async function pass(seconds: number): Promise<void> {
  passedMs += seconds * 1_000;
  await world.store.transaction((rows) => rows.clock.keepAhead(world.epoch, passedMs));
}

/** A process with such a wall clock begins to lead. */
class Leader {
  private constructor(
    private readonly wrongByMs: number,
    private readonly clock: LeaderClock,
  ) {}

  static async begin(wrongBySeconds: number): Promise<Leader> {
    const wrongByMs = wrongBySeconds * 1_000;
    const monotonic = { nowMs: () => performance.now() + passedMs };
    const { store, epoch, blobs } = world;
    const clock = await atWrongClock(wrongByMs, () => LeaderClock.begin(store, epoch, monotonic));
    world.leader = new JobLoop({
      ...{ store, epoch, metrics: new JobMetrics(), serving: () => [], clock },
      publisher: new OutputPublisher(blobs, { pickleAllowed: false }),
    });
    return new Leader(wrongByMs, clock);
  }

  cycle(): Promise<void> {
    return atWrongClock(this.wrongByMs, () => world.cycle());
  }

  removeExpired(): Promise<number> {
    const { store, epoch } = world;
    return atWrongClock(this.wrongByMs, () => removeExpired(store, epoch, this.clock.now(), never));
  }
}

/** Over an API process with such a wall clock. */
async function submit(wrongBySeconds: number, wanted: object = {}): Promise<Job> {
  const name = world.wish().name;
  const parsed = createJobSchema.parse({ name, command: ['true'], claim: gpus(1), ...wanted });
  const { id } = await atWrongClock(wrongBySeconds * 1_000, () => jobs.submit(owner, parsed, undefined));
  return world.job({ id });
}

const phaseOf = async (job: Job) => (await world.job(job)).phase;

/** Wall clocks of the first leader, the next one and the API process, against the database's: seconds. */
const WRONG: readonly (readonly [number, number, number])[] = [
  [10 * MINUTE_S, -10 * MINUTE_S, 0],
  [-10 * MINUTE_S, 10 * MINUTE_S, 0],
  [0, HOUR_S, -10 * MINUTE_S],
  [-HOUR_S, 10 * MINUTE_S, HOUR_S],
];

describe.each(WRONG)('R22: leaders %i s and %i s off, and an API process %i s off', (first, second, api) => {
  it('fail a job at its start deadline, and not before', async () => {
    const leader = await Leader.begin(first);
    const job = await submit(api, { startDeadlineSeconds: 120 });
    await leader.cycle();
    const phases = [await phaseOf(job)];
    await pass(100);
    await leader.cycle();
    phases.push(await phaseOf(job));
    const next = await Leader.begin(second);
    await next.cycle();
    phases.push(await phaseOf(job));
    await pass(21);
    await next.cycle();
    expect([...phases, await phaseOf(job)]).toEqual(['Queued', 'Queued', 'Queued', 'Failed']);
  });

  it('try a failed job again after its backoff, and charge what it held', async () => {
    const dc = await world.cluster(1, 1);
    const leader = await Leader.begin(first);
    const job = await submit(api, { retry: { limit: 2, backoffSeconds: 90 } });
    await leader.cycle();
    await pass(300);
    await dc.say(job, { phase: 'Failed', exitCode: 1, reason: 'it broke', ranSeconds: 290 });
    await leader.cycle();
    const next = await Leader.begin(second);
    const attempts: number[] = [];
    for (const seconds of [0, 60, 40]) {
      await pass(seconds);
      await next.cycle();
      attempts.push((await world.job(job)).attempts);
    }
    expect(attempts).toEqual([1, 1, 2]);
    expect(Math.round((await world.job(job)).usedDeviceSeconds / 20)).toBe(300 / 20);
  });

  it('let what waited for a day go first, and not before', async () => {
    const dc = await world.cluster(1, 1, { cordoned: true });
    const leader = await Leader.begin(first);
    const long = await submit(api, { expectedSeconds: 1_000 });
    await leader.cycle();
    await pass(24 * HOUR_S - MINUTE_S);
    const next = await Leader.begin(second);
    const short = [await submit(0, { expectedSeconds: 100 }), await submit(0, { expectedSeconds: 100 })];
    await world.moveCluster(dc, { cordoned: false });
    await next.cycle();
    const before = await Promise.all([long, ...short].map(phaseOf));
    await pass(2 * MINUTE_S);
    await succeed(dc, short[0]!);
    await next.cycle();
    expect([before, await Promise.all([long, ...short].map(phaseOf))]).toEqual([
      ['Queued', 'Starting', 'Queued'],
      ['Starting', 'Succeeded', 'Queued'],
    ]);
  });

  it('remove what ended when its time to live is over, and not before', async () => {
    const leader = await Leader.begin(first);
    const job = await submit(api, { ttlSeconds: 200 });
    await atWrongClock(api * 1_000, () => jobs.intend(owner, { name: job.name, ifMatch: undefined }, 'cancel'));
    await leader.cycle();
    await pass(100);
    const removed = [await leader.removeExpired()];
    const next = await Leader.begin(second);
    for (const seconds of [80, 40]) {
      await pass(seconds);
      removed.push(await next.removeExpired());
    }
    expect(removed).toEqual([0, 0, 1]);
  });
});

async function succeed(cluster: FakeCluster, job: Job): Promise<void> {
  await cluster.say(job, { phase: 'Succeeded', ranSeconds: 100 });
}

/** By a process with such a wall clock. */
const by = (wrongByMinutes: number, work: (rows: Rows) => Promise<unknown>) =>
  atWrongClock(wrongByMinutes * MINUTE_S * 1_000, () => world.store.transaction(work));

describe('R22: what was written last stands first, by whichever process', () => {
  it('of the events of a job', async () => {
    const { id: jobId, tenantId } = await world.submit();
    const event = (...kinds: string[]) =>
      kinds.map((kind) => ({ tenantId, jobId, attemptId: null, kind, message: '' }));
    await by(10, (rows) => rows.jobEvents.add(event('First', 'Second')));
    await by(-10, (rows) => rows.jobEvents.add(event('Third', 'Fourth', 'Fifth')));
    expect(await world.events({ id: jobId })).toEqual(['First', 'Second', 'Third', 'Fourth', 'Fifth']);
  });

  it('of the audit log', async () => {
    const entry = (action: string) => {
      const { tenantId, name: actor } = owner;
      return { tenantId, actor, action, targetKind: 'job', targetId: 'j', detail: {} };
    };
    await by(10, (rows) => rows.audit.add(entry('first')));
    await by(-10, (rows) => rows.audit.add(entry('second')));
    const listed = await world.store.read.audit.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 2 });
    expect(listed.map(({ action }) => action)).toEqual(['second', 'first']);
  });

  it('of the decisions of leaders, of which the older ones are dropped', async () => {
    const { id: subjectId } = await world.submit();
    const decide = (epoch: number, wrongByMinutes: number) =>
      by(wrongByMinutes, (rows) =>
        rows.decisions.insert({
          ...{ id: v7({ msecs: Date.now() }), subjectKind: 'job', subjectId, epoch, decidedAt: NOW },
          ...{ inputsHash: DIGEST, candidates: [], outcome: 'it waits', detail: null },
        }),
      );
    for (let count = 0; count < DECISIONS_KEPT; count += 1) await decide(1, 10);
    await decide(2, -10);
    const kept = await world.store.read.decisions.newest(subjectId, 100);
    expect([kept.length, kept[0]!.epoch]).toEqual([DECISIONS_KEPT, 2]);
    expect((await world.store.read.decisions.newestOf([subjectId])).map(({ epoch }) => epoch)).toEqual([2]);
  });

  it('of the rollouts of a deployment', async () => {
    const { store } = world;
    const deployment = await insertDeployment(store);
    const { id: clusterId } = await insertCluster(store);
    await store.transaction((rows) => rows.placements.insert([aPlacement(deployment, clusterId)]));
    const changes: string[] = [];
    for (const wrongByMinutes of [10, -10]) {
      const { id: toVersionId } = await store.transaction((rows) => rows.versions.insert(aVersion(deployment.modelId)));
      const wanted = { toVersionId, policy: deployment.rollout, ending: { phase: 'Superseded', reason: '' } } as const;
      await by(wrongByMinutes, (rows) => changeVersion(rows, deployment, wanted));
      changes.unshift(toVersionId);
    }
    const newest = await store.read.rollouts.ofDeployment(deployment.id, 2);
    expect(newest.map(({ toVersionId }) => toVersionId)).toEqual(changes);
  });
});

describe('the installation’s clock', () => {
  const read = ({ read }: Store) => read.clock.read();

  it('is the database’s, and so much ahead as the leader says', async () => {
    const before = await read(world.store);
    await pass(HOUR_S);
    const after = await read(world.store);
    expect([before.aheadMs, after.aheadMs]).toEqual([0, HOUR_S * 1_000]);
    expect(after.at.getTime() - before.at.getTime()).toBeGreaterThanOrEqual(HOUR_S * 1_000);
  });

  it('of a transaction is not that of its beginning', async () => {
    const [first, second] = await world.store.transaction(async (rows) => {
      const before = await rows.clock.now();
      await rows.clock.keepAhead(world.epoch, 5_000);
      return [before, await rows.clock.now()];
    });
    expect(second!.getTime()).toBeGreaterThanOrEqual(first!.getTime() + 5_000);
  });

  it('takes the word of the newest epoch only', async () => {
    await world.loseLease();
    await pass(HOUR_S);
    expect((await read(world.store)).aheadMs).toBe(0);
  });
});
