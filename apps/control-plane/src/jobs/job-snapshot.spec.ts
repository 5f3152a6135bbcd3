import { describe, expect, it } from '@jest/globals';
import { planWorkloads } from '#scheduling';
import { attemptOf, checkpointOf, jobOf, jobSpecOf } from '#testing';
import { HeldWork } from './held-work.ts';
import { JobMemory } from './job-memory.ts';
import { toWorkloadSnapshot } from './job-snapshot.ts';
import type { JobWorld } from './job-world.ts';

const STARTED = Date.parse('2026-03-01T00:00:00Z');
const HOUR_MS = 3_600_000;

/** A job of four hours and two devices, of which an attempt began with one hour done. */
const spec = jobSpecOf({
  claim: { deviceType: 'cpu', count: 2, schedulingPolicy: { topologyScope: 'node' } },
  expectedSeconds: 4 * 3_600,
});
const job = jobOf({ spec, phase: 'Running', attempts: 1 });
const resumedFrom = checkpointOf({ savedDeviceSeconds: 2 * 3_600 });
const attempt = attemptOf(job, { phase: 'Running', startedAt: new Date(STARTED), resumedFrom });

function runningOf(checkpoint: typeof job.checkpoint) {
  const world: JobWorld = {
    nowMs: STARTED + 2 * HOUR_MS,
    clusters: new Map(),
    observations: new Map(),
    jobs: new Map([[job.id, { ...job, checkpoint }]]),
    attempts: new Map([[attempt.id, attempt]]),
    held: HeldWork.of(new Map([[job.id, { ...job, checkpoint }]]), new Map([[attempt.id, attempt]])),
    placements: [],
    deployments: new Map(),
    queues: [],
    usage: [],
  };
  const snapshot = toWorkloadSnapshot(world, new JobMemory(), []);
  expect(planWorkloads(snapshot).verdicts).toEqual([]);
  return snapshot.running[0]!;
}

describe('a running attempt, as the planner sees it', () => {
  it.each([
    ['no checkpoint of its own: from its start on, what it resumed from is done', resumedFrom, null, 3_600],
    ['no checkpoint at all', null, null, 3_600],
    [
      'a checkpoint of its own: from then on, all that this keeps is done',
      checkpointOf({ attemptId: attempt.id, savedDeviceSeconds: 4 * 3_600, at: new Date(STARTED + HOUR_MS) }),
      STARTED + HOUR_MS,
      7_200,
    ],
  ])('%s', (_name, checkpoint, wantSavedAtMs, wantSavedSeconds) => {
    const { savedAtMs, savedSeconds, startedAtMs, expectedSeconds } = runningOf(checkpoint);
    expect({ savedAtMs, savedSeconds }).toEqual({ savedAtMs: wantSavedAtMs, savedSeconds: wantSavedSeconds });
    // Whatever was saved in between, it ends three hours after it began.
    const endsAtMs = (savedAtMs ?? startedAtMs) + (expectedSeconds! - savedSeconds) * 1_000;
    expect(endsAtMs).toBe(STARTED + 3 * HOUR_MS);
  });
});
