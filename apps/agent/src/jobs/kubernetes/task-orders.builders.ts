// Orders of gangs for specs.
import type { DesiredTask } from '#domain';
import { kubernetesTasksSchema } from './configuration.ts';
import type { GangOrder } from './task-objects.ts';

export const ATTEMPT = '0192e4c1-9d1c-7c3e-a5f4-3f1d2b7c9e10';

export const configurationOf = (change: object = {}) =>
  kubernetesTasksSchema.parse({
    namespace: 'jobs',
    image: 'pytorch:2',
    stateVolume: { persistentVolumeClaim: 'atoll-state', path: '/var/lib/atoll' },
    ...change,
  });

export const orderOf = (change: Partial<DesiredTask> | object = {}): GangOrder => {
  const task: DesiredTask = {
    taskId: `${ATTEMPT}-0`,
    attemptId: ATTEMPT,
    jobId: '0192e4c1-0000-7000-8000-000000000001',
    jobName: 'tune-1',
    kind: 'fine-tune',
    attempt: 1,
    rank: 0,
    worldSize: 1,
    epoch: 7,
    claim: { deviceType: 'nvidia.com/gpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    devices: null,
    launcher: 'plain',
    command: ['python', 'train.py'],
    environment: {},
    mounts: [],
    checkpoint: { mode: 'none', signal: 'SIGTERM', intervalSeconds: null },
    graceSeconds: 60,
    resumeFrom: null,
    outputRequired: false,
    stop: null,
    stopAfterSilentSeconds: 300,
    ...change,
  };
  return {
    task,
    devices: [],
    agent: 'UAGENT',
    attemptFolder: `/var/lib/atoll/jobs/${ATTEMPT}`,
    versionPath: (digest) => `/var/lib/atoll/models/${digest}`,
  };
};
