import { describe, expect, it } from '@jest/globals';
import type { DesiredTask, DeviceType } from '#domain';
import { type TaskPlace, taskEnvironment } from './task-environment.ts';

const task = (rest: Partial<DesiredTask> = {}): DesiredTask => ({
  taskId: 'a-1',
  attemptId: 'a',
  jobId: 'j1',
  jobName: 'tune',
  kind: 'fine-tune',
  attempt: 2,
  rank: 1,
  worldSize: 4,
  epoch: 1,
  claim: { deviceType: 'nvidia.com/gpu', count: 2, schedulingPolicy: { topologyScope: 'node' } },
  devices: null,
  launcher: 'plain',
  command: ['x'],
  environment: {},
  mounts: [],
  checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
  graceSeconds: 60,
  resumeFrom: null,
  outputRequired: false,
  stop: null,
  stopAfterSilentSeconds: 300,
  ...rest,
});
const place = (rest: Partial<TaskPlace> = {}): TaskPlace => ({
  folder: '/jobs/a/1',
  checkpointFolder: '/jobs/a/checkpoint',
  outputFolder: '/jobs/a/output',
  resumeFolder: null,
  mountsFolder: '/jobs/a/1/mounts',
  requestFile: '/jobs/a/1/control/request',
  doneFile: '/jobs/a/1/control/done',
  progressFile: '/jobs/a/1/control/progress',
  masterAddress: '127.0.0.1',
  masterPort: 29_500,
  devices: [{ node: 'n', deviceIds: ['gpu-2', 'gpu-3'] }],
  ...rest,
});
const on = (deviceType: DeviceType, ...deviceIds: string[]) =>
  [task({ claim: { ...task().claim, deviceType } }), place({ devices: [{ node: 'n', deviceIds }] })] as const;

describe('the environment of a command', () => {
  it('says who it is, where it stands, and where its files are', () => {
    expect(taskEnvironment(task(), place(), { PATH: '/bin' })).toEqual({
      PATH: '/bin',
      SPT_NOENV: '1',
      ATOLL_TASK_DIR: '/jobs/a/1',
      ATOLL_JOB_ID: 'j1',
      ATOLL_JOB_NAME: 'tune',
      ATOLL_ATTEMPT: '2',
      ATOLL_RANK: '1',
      ATOLL_WORLD_SIZE: '4',
      RANK: '1',
      WORLD_SIZE: '4',
      LOCAL_RANK: '0',
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: '29500',
      ATOLL_CHECKPOINT_DIR: '/jobs/a/checkpoint',
      ATOLL_CHECKPOINT_REQUEST: '/jobs/a/1/control/request',
      ATOLL_CHECKPOINT_DONE: '/jobs/a/1/control/done',
      ATOLL_RESUME_DIR: '',
      ATOLL_OUTPUT_DIR: '/jobs/a/output',
      ATOLL_PROGRESS_FILE: '/jobs/a/1/control/progress',
      ATOLL_DEVICES: 'gpu-2,gpu-3',
      CUDA_VISIBLE_DEVICES: '2,3',
      CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
      ASCEND_RT_VISIBLE_DEVICES: '',
      MLU_VISIBLE_DEVICES: '',
    });
  });

  it('holds nothing of the agent’s own but what every program needs', () => {
    const own = { PATH: '/bin', HOME: '/home/atoll', ATOLL_JOIN_TOKEN: 'secret', AWS_SECRET_ACCESS_KEY: 'secret' };
    const environment = taskEnvironment(task(), place(), own);
    expect(Object.values(environment)).not.toContain('secret');
    expect(environment.HOME).toBe('/home/atoll');
  });

  it.each<[string, Record<string, string>, string, string | undefined]>([
    ['the job’s own comes in', { LEARNING_RATE: '0.1' }, 'LEARNING_RATE', '0.1'],
    ['it wins over ours', { PATH: '/opt/bin' }, 'PATH', '/opt/bin'],
    ['but not over its place', { RANK: '9' }, 'RANK', '1'],
    ['nor over Atoll’s', { ATOLL_RANK: '9' }, 'ATOLL_RANK', '1'],
    ['how an auto claim is split is told', { ATOLL_TENSOR_PARALLEL: '8' }, 'ATOLL_TENSOR_PARALLEL', '8'],
    ['other names of Atoll’s are not the job’s', { ATOLL_OTHER_DIR: '/' }, 'ATOLL_OTHER_DIR', undefined],
    ['a name that is none is left out', { 'A=B': 'x' }, 'A=B', undefined],
    ['a value that would be cut is left out', { CUT: 'a\0b' }, 'CUT', undefined],
  ])('%s', (_case, environment, name, want) => {
    expect(taskEnvironment(task({ environment }), place(), { PATH: '/bin' })[name]).toBe(want);
  });

  it.each<[string, ReturnType<typeof on>, Record<string, string>]>([
    ['GPUs by their index', on('nvidia.com/gpu', 'gpu-0', 'gpu-11'), { CUDA_VISIBLE_DEVICES: '0,11' }],
    ['GPUs by their UUID', on('nvidia.com/gpu', 'GPU-8c1f0a2e'), { CUDA_VISIBLE_DEVICES: 'GPU-8c1f0a2e' }],
    ['NPUs', on('huawei.com/ascend-npu', 'npu-4'), { ASCEND_RT_VISIBLE_DEVICES: '4', CUDA_VISIBLE_DEVICES: '' }],
    ['MLUs', on('cambricon.com/mlu', '7'), { MLU_VISIBLE_DEVICES: '7', CUDA_VISIBLE_DEVICES: '' }],
    ['of CPUs no accelerator', on('cpu', 'cpu-1'), { CUDA_VISIBLE_DEVICES: '', ATOLL_DEVICES: 'cpu-1' }],
  ])('shows %s and hides the rest', (_case, [of, at], want) => {
    expect(taskEnvironment(of, at, {})).toMatchObject(want);
  });

  it('names mounts and what it resumes from', () => {
    const mounts = [
      { name: 'base', versionDigest: 'v' },
      { name: 'data-set', versionDigest: 'w' },
    ];
    expect(taskEnvironment(task({ mounts }), place({ resumeFolder: '/jobs/a/resume' }), {})).toMatchObject({
      ATOLL_BASE_DIR: '/jobs/a/1/mounts/base',
      ATOLL_DATA_SET_DIR: '/jobs/a/1/mounts/data-set',
      ATOLL_RESUME_DIR: '/jobs/a/resume',
    });
  });
});
