import { describe, expect, it } from '@jest/globals';
import type { Attempt, Job } from '#domain';
import { attemptOf, jobOf } from '#testing';
import { DueJobs, JUDGED_ALWAYS_MAX, ROUND_MS } from './due-jobs.ts';
import { Touched } from './touched.ts';

const MANY = 2 * JUDGED_ALWAYS_MAX;
const CLUSTER = '00000000-0000-7000-8000-0000000000c1';
const jobs = new Map(Array.from({ length: MANY }, () => jobOf()).map((job) => [job.id, job]));
const ids = [...jobs.keys()];
const running = attemptOf(jobs.get(ids[7]!)!, { clusterId: CLUSTER });
const attempts = new Map<string, Attempt>([[running.id, running]]);
const nothing = () => new Touched();

/** One that has looked at all of them at 0 ms. */
function due(): DueJobs {
  const picker = new DueJobs();
  picker.pick({ jobs, attempts }, nothing(), 0);
  return picker;
}

const idsOf = (picked: readonly Job[]) => picked.map(({ id }) => id);

describe('which jobs a cycle judges', () => {
  it('a new leader: all', () => {
    expect(new DueJobs().pick({ jobs, attempts }, nothing(), 0)).toHaveLength(MANY);
  });

  it('few: all, always', () => {
    const few = new Map([...jobs].slice(0, JUDGED_ALWAYS_MAX));
    const picker = new DueJobs();
    picker.pick({ jobs: few, attempts }, nothing(), 0);
    expect(picker.pick({ jobs: few, attempts }, nothing(), 1)).toHaveLength(JUDGED_ALWAYS_MAX);
  });

  it.each<[string, (touched: Touched) => void, string]>([
    ['whose row was written', (touched) => touched.addJob(ids[3]), ids[3]!],
    ['whose cluster reported', (touched) => touched.addClusters([CLUSTER]), ids[7]!],
  ])('of many those %s', (_case, touch, want) => {
    const touched = nothing();
    touch(touched);
    expect(idsOf(due().pick({ jobs, attempts }, touched, 0))).toEqual([want]);
  });

  it('D01: and those that wait for one that was written', () => {
    const dependent = jobOf({ phase: 'Waiting', queuedAt: null, dependsOn: [{ jobId: 'gone', when: 'success' }] });
    const touched = nothing();
    touched.addJob('gone');
    const known = new Map([...jobs, [dependent.id, dependent]]);
    expect(idsOf(due().pick({ jobs: known, attempts }, touched, 0))).toEqual([dependent.id]);
  });

  it('all of them when it cannot be told', () => {
    const touched = nothing();
    touched.addAll();
    expect(due().pick({ jobs, attempts }, touched, 0)).toHaveLength(MANY);
  });

  it('each of the others has its turn within the time of a round, whatever the length of cycles', () => {
    const picker = due();
    const seen = new Set<string>();
    for (const atMs of [1, 50, 51, 400, 1_300, 1_900, 2_800, ROUND_MS - 100, ROUND_MS]) {
      for (const { id } of picker.pick({ jobs, attempts }, nothing(), atMs)) seen.add(id);
    }
    expect(seen.size).toBe(MANY);
  });

  it('after a long silence all at once; a clock that goes back is no time', () => {
    const picker = due();
    expect(picker.pick({ jobs, attempts }, nothing(), ROUND_MS)).toHaveLength(MANY);
    expect(picker.pick({ jobs, attempts }, nothing(), 0)).toHaveLength(0);
  });
});
