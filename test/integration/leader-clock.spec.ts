/**
 * Jobs are judged by one clock, on a real database: leaders and API processes whose wall clocks are wrong change nothing
 * (R22). Time passes without anybody waiting: the installation's clock is put ahead, and the monotonic
 * clocks of the leaders with it.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createJobSchema } from '#contracts';
import { DEFAULT_TENANT_ID, type Job } from '#domain';
import { JobLoop } from '../../apps/control-plane/src/jobs/job-loop.ts';
import { JobMetrics } from '../../apps/control-plane/src/jobs/job-metrics.ts';
import { Jobs } from '../../apps/control-plane/src/jobs/jobs.ts';
import { OutputPublisher } from '../../apps/control-plane/src/jobs/publish-output.ts';
import { removeExpired } from '../../apps/control-plane/src/jobs/removal.ts';
import { LeaderClock } from '../../apps/control-plane/src/leader/leader-clock.ts';
import { Mutations } from '../../apps/control-plane/src/mutations/mutations.ts';
import type { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import { type FakeCluster, gpus, JobsWorld } from './jobs.fixture.ts';
import { atWrongClock } from './wrong-clock.fixture.ts';

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
