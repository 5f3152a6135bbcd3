import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ReplayClass } from '../classes.ts';
import { BrokenPlanError } from '../errors.ts';
import { clusterOf, parseFleet } from '../fleet.ts';
import { finish } from '../study.ts';
import { HeldDevices } from './held-devices.ts';
import { keptWhenStopped } from './job-states.ts';
import { JOB_POLICIES, JOB_POLICY_NAMES, type JobPolicyName } from './policies.ts';
import { type JobReplayOptions, stepJobReplay } from './replay-jobs.ts';
import { busiestTenth, type JobWorkload, makeJobWorkload, type ReplayJob } from './workload.ts';

let made = 0;

function job(atSeconds: number, devices: number, seconds: number, name: ReplayClass = 'medium'): ReplayJob {
  return {
    id: `job-${String(++made).padStart(6, '0')}`,
    arrivalMs: atSeconds * 1_000,
    devices,
    durationMs: seconds * 1_000,
    class: name,
    expectedSeconds: seconds,
  };
}

function workload(...jobs: readonly ReplayJob[]): JobWorkload {
  return { jobs, seed: 1, load: 1 };
}

function replay(policy: JobPolicyName, of: JobWorkload, fleet = '1x2', rest: Partial<JobReplayOptions> = {}) {
  const options = {
    workload: of,
    fleet: parseFleet(fleet),
    policy: JOB_POLICIES[policy],
    cycleSeconds: 60,
    ...rest,
  };
  return finish(stepJobReplay(options));
}

describe('replaying jobs: golden traces', () => {
  it('plans at multiples of the cycle, and counts from arrival', () => {
    const { all } = replay('fifo-backfill', workload(job(0, 2, 100), job(10, 1, 30)));
    // The first starts at 0 and ends at 100; the second starts in the cycle at 120 and ends at 150.
    expect(all).toMatchObject({ jobs: 2, waitSecondsMean: 55, waitSecondsP50: 0, waitSecondsP99: 110 });
    expect(all.completionSecondsMean).toBe((100 + 140) / 2);
  });

  it('FIFO lets a short job go ahead only where the head is not delayed (B01)', () => {
    const running = job(0, 1, 600);
    const head = job(10, 2, 100);
    const backfill = job(20, 1, 500);
    const tooLong = job(30, 1, 700);
    const starts = new Map<string, number>();
    replay('fifo-backfill', workload(running, head, backfill, tooLong), '1x2', {
      onPlan: ({ nowMs }, plan) => {
        for (const { workloadId } of plan.starts) starts.set(workloadId, nowMs / 1_000);
      },
    });
    const want = [0, 600, 60, 720];
    expect([running, head, backfill, tooLong].map(({ id }) => starts.get(id))).toEqual(want);
  });

  it('who is stopped saves first, goes on from there, and its saving is what is lost', () => {
    const { classes, ...outcome } = replay('preempt-save', workload(job(0, 2, 600, 'low'), job(60, 1, 120, 'high')));
    // Stopped at 60, saved at 120; the high one runs until 240, and the low one has 540 s left.
    expect(classes.high).toMatchObject({ waitSecondsMean: 60, completionSecondsMean: 180 });
    expect(classes.low).toMatchObject({ waitSecondsMean: 0, completionSecondsMean: 780 });
    expect(outcome).toMatchObject({ stops: 1, lostDeviceSeconds: 120, usefulDeviceSeconds: 1_320 });
  });

  it('who is killed begins again', () => {
    const outcome = replay('preempt-kill-youngest', workload(job(0, 2, 600, 'low'), job(60, 1, 120, 'high')));
    // Killed at 60; the high one runs from the next cycle, 120, until 240; the low one from the start again.
    expect(outcome.classes.low.completionSecondsMean).toBe(840);
    expect(outcome).toMatchObject({ stops: 1, lostDeviceSeconds: 120 });
  });

  it('a job that is larger than a node gets whole nodes; one that is larger than the fleet is never tried', () => {
    const outcome = replay('priority', workload(job(0, 6, 60), job(0, 9, 60)), '2x4');
    expect(outcome).toMatchObject({ impossible: 1, usefulDeviceSeconds: 8 * 60 });
    expect(outcome.all.jobs).toBe(1);
  });

  it('in time is what is done within twice its run time, or an hour', () => {
    const { all } = replay('priority', workload(job(0, 2, 4_000), job(0, 2, 3_000), job(0, 2, 8_000)));
    expect(all.passPercent).toBeCloseTo(200 / 3);
  });
});

describe('saving', () => {
  it.each([
    ['none', { kind: 'none' }, 5_000_000, 0],
    ['periodic, before the first', { kind: 'periodic', everySeconds: 1_800 }, 1_799_000, 0],
    ['periodic', { kind: 'periodic', everySeconds: 1_800 }, 3_700_000, 3_600_000],
    ['on stop', { kind: 'on-stop', saveSeconds: 60 }, 61_000, 61_000],
  ] as const)('%s', (_name, saving, ranMs, want) => {
    expect(keptWhenStopped(saving, ranMs)).toBe(want);
  });
});

describe('what a replay checks', () => {
  const cluster = clusterOf(parseFleet('1x2'));
  const on = (node: string, ...deviceIds: string[]) => [
    { rank: 0, clusterId: cluster.id, devices: [{ node, deviceIds }] },
  ];

  it.each([
    ['a device that is held', on('n1', 'n1-0'), 'which other holds'],
    ['a device that does not exist', on('n1', 'n1-7'), 'does not exist'],
    ['no devices at all', [{ rank: 0, clusterId: cluster.id, devices: null }], 'without devices'],
    ['another cluster', [{ rank: 0, clusterId: 'elsewhere', devices: [] }], 'without devices'],
  ])('a start on %s', (_name, tasks, want) => {
    const held = new HeldDevices(cluster);
    held.take('other', on('n1', 'n1-0'), 0);
    expect(() => held.take('holder', tasks, 0)).toThrow(BrokenPlanError);
    expect(() => held.take('holder', tasks, 0)).toThrow(want);
  });

  it('nothing when a device was let go of', () => {
    const held = new HeldDevices(cluster);
    held.take('one', on('n1', 'n1-0', 'n1-1'), 1_000);
    held.release('one', 3_000);
    held.take('two', on('n1', 'n1-1'), 3_000);
    expect(held.busy).toEqual([{ fromMs: 1_000, toMs: 3_000, devices: 2 }]);
  });
});

describe('replaying jobs: properties', () => {
  const jobs = fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 5_000 }),
      devices: fc.constantFrom(1, 1, 2, 4),
      seconds: fc.integer({ min: 1, max: 9_000 }),
      name: fc.constantFrom<ReplayClass>('high', 'medium', 'low'),
    }),
    { minLength: 1, maxLength: 25 },
  );
  const workloadOf = (each: readonly { at: number; devices: number; seconds: number; name: ReplayClass }[]) =>
    workload(
      ...[...each].sort((a, b) => a.at - b.at).map(({ at, devices, seconds, name }) => job(at, devices, seconds, name)),
    );

  it('every policy ends every job, and what was held was useful or is counted as lost', () => {
    fc.assert(
      fc.property(jobs, fc.constantFrom(...JOB_POLICY_NAMES), (each, policy) => {
        const of = workloadOf(each);
        const outcome = replay(policy, of, '2x4');
        expect(outcome.all.jobs).toBe(of.jobs.length);
        expect(outcome.heldDeviceSeconds).toBeCloseTo(outcome.usefulDeviceSeconds + outcome.lostDeviceSeconds, 3);
        if (!('preempts' in JOB_POLICIES[policy].workload)) return;
        expect(outcome).toMatchObject({ stops: 0, lostDeviceSeconds: 0 });
      }),
      { numRuns: 150 },
    );
  });

  it('the same seed gives the same outcome', () => {
    const traced = Array.from({ length: 80 }, (_, index) => ({
      arrivalSeconds: index * 40,
      tenant: '',
      devices: [1, 2, 4, 1][index % 4]!,
      durationSeconds: 30 + ((index * 7_919) % 3_000),
    }));
    const once = (seed: number) =>
      replay('atoll', makeJobWorkload(traced, { seed, devices: 8, load: 0.9, estimateSigma: 0.5 }), '2x4');
    expect(once(1)).toEqual(once(1));
    expect(once(1)).not.toEqual(once(2));
  });
});

describe('the workload of jobs', () => {
  const traced = [0, 10, 20, 100].map((arrivalSeconds) => ({
    arrivalSeconds,
    tenant: 'vc',
    devices: 2,
    durationSeconds: 50,
  }));
  const options = { seed: 1, devices: 8, load: 0.5, estimateSigma: 0 };

  it('stretches arrivals to the load', () => {
    // 400 device-seconds at a load of 0.5 of 8 devices: over 100 s, as it is.
    expect(makeJobWorkload(traced, options).jobs.map(({ arrivalMs }) => arrivalMs)).toEqual([
      0, 10_000, 20_000, 100_000,
    ]);
    expect(makeJobWorkload(traced, { ...options, load: 1 }).jobs.at(-1)!.arrivalMs).toBe(50_000);
  });

  it('has about the shares of classes that are documented', () => {
    const many = Array.from({ length: 5_000 }, (_, index) => ({ ...traced[0]!, arrivalSeconds: index }));
    const { jobs } = makeJobWorkload(many, options);
    const share = (name: ReplayClass) => jobs.filter((each) => each.class === name).length / jobs.length;
    expect([share('high'), share('medium'), share('low')].map((each) => Math.round(each * 20) / 20)).toEqual([
      0.2, 0.3, 0.5,
    ]);
  });

  it('says how much more the busiest tenth of the time asks for', () => {
    const even = Array.from({ length: 10 }, (_, index) => ({ ...traced[0]!, arrivalSeconds: index * 10 }));
    expect([busiestTenth(even), busiestTenth(traced), busiestTenth(traced.slice(0, 1))]).toEqual([1, 2.5, 10]);
  });

  it('of one moment has no load', () => {
    expect(() => makeJobWorkload(traced.slice(0, 1), options)).toThrow('at one moment');
  });
});
