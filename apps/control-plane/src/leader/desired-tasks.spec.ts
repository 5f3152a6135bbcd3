import { describe, expect, it } from '@jest/globals';
import { DESIRED_BYTES_MAX, desiredTaskSchema } from '#contracts';
import { LOST_AFTER_SECONDS_MIN, type ModelVersion, STOP_CAUSES } from '#domain';
import { attemptOf, checkpointOf, jobOf, jobSpecOf } from '#testing';
import { desiredTasksOf, memberBytesOf, mountedVersionIds, TASKS_BYTES_MAX } from './desired-tasks.ts';

const HERE = '00000000-0000-7000-9000-0000000000aa';
const THERE = '00000000-0000-7000-9000-0000000000bb';
const DIGEST = 'd'.repeat(64);
const versions = new Map([['v', { id: 'v', digest: DIGEST } as ModelVersion]]);
const AT = new Date(0);

const job = jobOf({
  kind: 'fine-tune',
  spec: jobSpecOf({
    gang: { size: 3 },
    mounts: [{ name: 'base', versionId: 'v' }],
    checkpoint: { mode: 'signal', signal: 'SIGUSR2', intervalSeconds: null },
    lostAfterSeconds: 120,
  }),
});
const devices = [{ node: 'n1', deviceIds: ['0'] }];
const attempt = attemptOf(job, {
  number: 2,
  epoch: 5,
  tasks: [
    { rank: 0, clusterId: HERE, devices },
    { rank: 1, clusterId: THERE, devices: null },
    { rank: 2, clusterId: HERE, devices: null },
  ],
  resumedFrom: checkpointOf({ manifestDigest: DIGEST, sizeBytes: 9, progress: 'step 4' }),
});
const tasksOf = (change: Partial<typeof attempt> = {}, of = job) =>
  desiredTasksOf(HERE, [{ ...attempt, ...change }], new Map([[of.id, of]]), versions);

describe('the tasks of a document', () => {
  it('are the members in this cluster, as the wire wants them', () => {
    const tasks = tasksOf();
    expect(tasks.map((task) => desiredTaskSchema.parse(task))).toEqual(tasks);
    expect(tasks).toMatchObject([
      { taskId: `${attempt.id}-0`, rank: 0, devices },
      { taskId: `${attempt.id}-2`, rank: 2, devices: null },
    ]);
    expect(tasks[0]).toMatchObject({
      attempt: 2,
      worldSize: 3,
      epoch: 5,
      mounts: [{ name: 'base', versionDigest: DIGEST }],
      resumeFrom: { manifestDigest: DIGEST, sizeBytes: 9, progress: 'step 4' },
      stop: null,
      stopAfterSilentSeconds: 120,
    });
  });

  it('bear at least the silence that a healthy agent may hear', () => {
    const [task] = tasksOf({}, { ...job, spec: { ...job.spec, lostAfterSeconds: 2 } });
    expect(task?.stopAfterSilentSeconds).toBe(LOST_AFTER_SECONDS_MIN);
  });

  it.each(STOP_CAUSES.map((cause) => [cause]))('that are to stop (%s) save where the job goes on later', (cause) => {
    const stop = { cause, reason: 'x'.repeat(600), byJobId: null, at: AT };
    const [task] = tasksOf({ phase: 'Stopping', stop });
    const wantsCheckpoint = cause !== 'cancelled' && cause !== 'gang-member-lost';
    expect(task?.stop).toEqual({ cause, reason: 'x'.repeat(500), wantsCheckpoint });
  });

  it('that cannot save are not asked to', () => {
    const other = { ...job, spec: jobSpecOf({ mounts: job.spec.mounts }) };
    const stop = { cause: 'preempted', reason: '', byJobId: null, at: AT } as const;
    expect(tasksOf({ phase: 'Stopping', stop }, other)[0]?.stop?.wantsCheckpoint).toBe(false);
  });

  it('bring the versions that they mount along, once', () => {
    expect(mountedVersionIds([job, job])).toEqual(['v']);
  });

  it('are rows that belong together, or it throws', () => {
    expect(() => desiredTasksOf(HERE, [attempt], new Map(), versions)).toThrow(/does not exist/);
    expect(() => desiredTasksOf(HERE, [attempt], new Map([[job.id, job]]), new Map())).toThrow(/not published/);
  });

  it('take no more bytes than is counted for them', () => {
    const bound = jobOf({ spec: jobSpecOf({ claim: { ...job.spec.claim, count: 8 }, command: ['a'.repeat(3_000)] }) });
    const ids = Array.from({ length: 8 }, (_, index) => `GPU-${String(index).padStart(32, '0')}`);
    const tasks = [{ rank: 0, clusterId: HERE, devices: [{ node: 'a-machine-with-a-name', deviceIds: ids }] }];
    const [task] = desiredTasksOf(HERE, [attemptOf(bound, { tasks })], new Map([[bound.id, bound]]), versions);
    expect(JSON.stringify(task).length).toBeLessThanOrEqual(memberBytesOf(bound));
    expect(TASKS_BYTES_MAX).toBeLessThan(DESIRED_BYTES_MAX);
  });
});
