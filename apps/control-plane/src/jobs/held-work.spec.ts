import { describe, expect, it } from '@jest/globals';
import { type Attempt, type Job, recentUseOf, usageOf } from '#domain';
import { attemptOf, jobOf, jobSpecOf } from '#testing';
import { HeldWork } from './held-work.ts';
import { heldBy } from './settle-jobs.ts';

const NOW_MS = Date.parse('2026-03-03T12:00:00Z');
const HOUR_MS = 3_600_000;
const CLUSTERS = ['00000000-0000-7000-8000-0000000000c1', '00000000-0000-7000-8000-0000000000c2'];

/** The nth of a mixed lot: two queues, one to three devices, begun up to two days ago. */
function pair(index: number): [Job, Attempt] {
  const claim = { deviceType: 'cpu', count: 1 + (index % 3), schedulingPolicy: { topologyScope: 'node' } } as const;
  const queueId = `00000000-0000-7000-8000-00000000000${index % 2}`;
  const job = jobOf({ queueId, spec: jobSpecOf({ claim }), phase: 'Running', attempts: 1 });
  const createdAt = new Date(NOW_MS - ((index * 7) % 48) * HOUR_MS);
  return [job, attemptOf(job, { clusterId: CLUSTERS[index % 2], createdAt, phase: 'Running' })];
}

const byId = <Row extends { id: string }>(rows: readonly Row[]) => new Map(rows.map((row) => [row.id, row]));
const seen = (held: HeldWork) => ({
  bytes: Object.fromEntries([...held.documentBytes].filter(([, bytes]) => bytes !== 0)),
  running: [...held.running].map(({ holderId }) => holderId).sort(),
  used: held
    .heldUntil(NOW_MS)
    .map((each) => JSON.stringify(each))
    .sort(),
});

describe('F12: what live attempts hold', () => {
  it('is the same after any changes as summed up anew', () => {
    const pairs = Array.from({ length: 60 }, (_, index) => pair(index));
    const [jobs, attempts] = [byId(pairs.map(([job]) => job)), byId(pairs.map(([, attempt]) => attempt))];
    const held = HeldWork.of(jobs, attempts);
    for (const [index, [job, attempt]] of pairs.entries()) {
      if (index % 4 === 0) attempts.delete(attempt.id);
      if (index % 4 === 1) jobs.set(job.id, { ...job, queueId: CLUSTERS[0]! });
      if (index % 4 === 2) attempts.set(attempt.id, { ...attempt, tasks: [...attempt.tasks, ...attempt.tasks] });
      const now = attempts.get(attempt.id);
      held.put(attempt.id, now, jobs.get(job.id));
      held.put(attempt.id, now, jobs.get(job.id));
    }
    expect(seen(held)).toEqual(seen(HeldWork.of(jobs, attempts)));
  });

  it('has been used as much as attempt by attempt', () => {
    const pairs = Array.from({ length: 60 }, (_, index) => pair(index));
    const held = HeldWork.of(byId(pairs.map(([job]) => job)), byId(pairs.map(([, attempt]) => attempt)));
    const together = recentUseOf(
      held.heldUntil(NOW_MS).flatMap((each) => usageOf(each, 'job')),
      NOW_MS,
    );
    const each = recentUseOf(
      pairs.flatMap(([job, attempt]) => usageOf(heldBy(job, attempt, NOW_MS), 'job')),
      NOW_MS,
    );
    expect([...together.keys()].sort()).toEqual([...each.keys()].sort());
    for (const [queueId, seconds] of each) expect(together.get(queueId)).toBeCloseTo(seconds, 3);
  });

  it('is nothing once all are over', () => {
    const [job, attempt] = pair(1);
    const held = HeldWork.of(byId([job]), byId([attempt]));
    held.put(attempt.id, undefined, job);
    expect(seen(held)).toEqual({ bytes: {}, running: [], used: [] });
    expect(held.attemptOf(job.id)).toBeNull();
  });

  it('stays the same object for the planner while its rows are the same', () => {
    const [job, attempt] = pair(1);
    const first = [...HeldWork.of(byId([job]), byId([attempt])).running][0];
    const again = [...HeldWork.of(byId([job]), byId([attempt])).running][0];
    const other = [...HeldWork.of(byId([{ ...job, preemptions: 1 }]), byId([attempt])).running][0];
    expect(again).toBe(first);
    expect(other).toMatchObject({ holderId: attempt.id, preemptions: 1 });
  });
});
