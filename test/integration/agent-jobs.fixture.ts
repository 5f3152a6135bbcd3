// What specs of an agent's tasks share: a desired task with defaults, and the commands of test/fixtures/jobs.
import { join, resolve } from 'node:path';
import { type DesiredTask, taskIdOf } from '#domain';

const programs = resolve(import.meta.dirname, '../fixtures/jobs');

export const JOB_ID = '01900000-0000-7000-8000-0000000f0001';
export const ATTEMPT_ID = '01900000-0000-7000-8000-0000000f1001';
export const TASK_ID = taskIdOf(ATTEMPT_ID, 0);

/** Counts `steps` steps of `stepMs`; see the program. */
export function counting(steps: number, stepMs: number, ...others: string[]): string[] {
  return [
    process.execPath,
    join(programs, 'count.mjs'),
    '--steps',
    String(steps),
    '--step-ms',
    String(stepMs),
    ...others,
  ];
}

export function odd(mode: string, ...others: string[]): string[] {
  return [process.execPath, join(programs, 'odd.mjs'), mode, ...others];
}

export function taskOf(command: readonly string[], change: Partial<DesiredTask> = {}): DesiredTask {
  const { attemptId = ATTEMPT_ID, rank = 0 } = change;
  return {
    taskId: taskIdOf(attemptId, rank),
    attemptId,
    jobId: JOB_ID,
    jobName: 'count',
    kind: 'command',
    attempt: 1,
    rank,
    worldSize: 1,
    epoch: 1,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    devices: [{ node: 'node-1', deviceIds: [`cpu-${rank}`] }],
    launcher: 'plain',
    command,
    environment: {},
    mounts: [],
    checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
    graceSeconds: 20,
    resumeFrom: null,
    outputRequired: false,
    stop: null,
    stopAfterSilentSeconds: 300,
    ...change,
  };
}

export const PREEMPTED = { cause: 'preempted', reason: 'preempted by job urgent', wantsCheckpoint: true } as const;
