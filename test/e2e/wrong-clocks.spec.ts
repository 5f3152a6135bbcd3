/** A fleet whose processes have wall clocks ten minutes apart, and a leader that is ten minutes ahead of the one before. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CreateJob, JobDto } from '#contracts';
import { eventually } from '#testing';
import { PROJECT_ROOT } from '../../deploy/quickstart/instance.ts';
import { MODEL } from '../../deploy/quickstart/story.ts';
import { Chats } from './chats.fixture.ts';
import { EDGES, TestFleet } from './test-fleet.fixture.ts';

const CENTRAL = 'dc-1';
const TEN_MINUTES_MS = 600_000;
const WRONG_CLOCK = join(PROJECT_ROOT, 'test/fixtures/clocks/wrong-clock.mjs');
const COUNT = join(PROJECT_ROOT, 'test/fixtures/jobs/count.mjs');
const CHATS = 20;

describe('R22: clocks ten minutes apart', () => {
  /** Process → what its wall clock is ahead when it is started next. */
  const aheadMs = new Map([
    [EDGES[0], TEN_MINUTES_MS],
    ['gateway', TEN_MINUTES_MS],
  ]);
  let fleet: TestFleet;
  beforeAll(async () => {
    const environment = (name: string) => ({
      NODE_OPTIONS: `--import=${WRONG_CLOCK}`,
      ATOLL_TEST_CLOCK_WRONG_BY_MS: String(aheadMs.get(name) ?? 0),
    });
    fleet = await TestFleet.start({ environment });
  }, 90_000);
  afterAll(() => fleet?.stop(), 60_000);

  function until(name: string, isSo: (job: JobDto) => boolean): Promise<JobDto> {
    return eventually(
      async () => {
        const job = await fleet.admin.job(name);
        if (!isSo(job)) throw new Error(`${name} is ${job.phase}: ${job.reason}`);
        return job;
      },
      { timeoutMs: 40_000, intervalMs: 100 },
    );
  }
  const count = (name: string, cores: number, steps: number, rest: Partial<CreateJob> = {}): CreateJob => ({
    name,
    kind: 'command',
    claim: { deviceType: 'cpu', count: cores, schedulingPolicy: { topologyScope: 'node' } },
    selector: { clusterNames: [CENTRAL] },
    command: [process.execPath, COUNT, '--steps', String(steps), '--step-ms', '100'],
    checkpoint: { mode: 'file' },
    ...rest,
  });

  it('a leader that is ten minutes ahead fails nothing that waits, moves nothing, and no chat fails', async () => {
    const [node] = (await fleet.cluster(CENTRAL)).observed?.nodes ?? [];
    const cores = node!.devices.length;
    await fleet.admin.submitJob(count('occupant', cores, 3_000));
    await until('occupant', ({ phase }) => phase === 'Running');
    await fleet.admin.submitJob(count('patient', cores, 2, { startDeadlineSeconds: 300 }));
    await until('patient', ({ phase, reason }) => phase === 'Queued' && reason !== 'waits to be scheduled');
    const before = await fleet.settled(2);

    const chats = await Chats.during(fleet, async (running) => {
      aheadMs.set('control-plane', TEN_MINUTES_MS);
      await fleet.kill('control-plane');
      await fleet.processes.restart('control-plane');
      // What it submits now, it has judged with all that waited before.
      await fleet.admin.submitJob(count('newcomer', cores, 2, { startDeadlineSeconds: 300 }));
      await until('newcomer', ({ phase, reason }) => phase === 'Queued' && reason !== 'waits to be scheduled');
      const sinceMs = performance.now();
      await eventually(() => expect(running.since(sinceMs).answers.length).toBeGreaterThan(CHATS), {
        timeoutMs: 30_000,
      });
    });
    expect(chats.failures).toEqual([]);
    expect((await fleet.admin.job('patient')).phase).toBe('Queued');
    expect((await fleet.settled(2)).placements.map(({ id }) => id).sort()).toEqual(
      before.placements.map(({ id }) => id).sort(),
    );

    await fleet.admin.steerJob('occupant', 'cancel');
    for (const name of ['patient', 'newcomer']) await until(name, ({ phase }) => phase === 'Succeeded');
    await fleet.admin.updateDeployment(MODEL, { replicas: 1 });
    await fleet.settled(1);
  }, 120_000);
});
