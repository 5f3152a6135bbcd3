import { describe, expect, it } from '@jest/globals';
import type { V1ContainerStatus, V1Pod, V1PodStatus } from '@kubernetes/client-node';
import { lastWords, newestPod, noPodReason, type PodVerdict, verdictOf } from './pod-state.ts';

const pod = (status: V1PodStatus, metadata: V1Pod['metadata'] = {}): V1Pod => ({ metadata, status });
const container = (rest: Partial<V1ContainerStatus>): V1ContainerStatus => ({
  name: 'engine',
  image: 'vllm:1',
  imageID: '',
  ready: false,
  restartCount: 0,
  ...rest,
});
const waits = (reason: string, message = '', rest: Partial<V1ContainerStatus> = {}): V1PodStatus => ({
  phase: 'Pending',
  containerStatuses: [container({ state: { waiting: { reason, message } }, ...rest })],
});
const ended = (exitCode: number, reason = 'Error') => ({ terminated: { exitCode, reason } });
const failed = (reason: string, rest: object = {}): PodVerdict =>
  ({ state: 'failed', reason, hasLog: false, isRestarted: false, ...rest }) as PodVerdict;

describe('what a pod says', () => {
  it.each<{ name: string; status: V1PodStatus; want: PodVerdict }>([
    { name: 'new', status: {}, want: { state: 'waiting', reason: '' } },
    {
      name: 'no node takes it',
      status: {
        phase: 'Pending',
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.',
          },
        ],
      },
      want: { state: 'waiting', reason: 'No node takes it: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.' },
    },
    {
      name: 'the first try at its image',
      status: waits('ErrImagePull', 'manifest unknown'),
      want: { state: 'waiting', reason: 'ErrImagePull: manifest unknown' },
    },
    { name: 'its containers are made', status: waits('ContainerCreating'), want: { state: 'waiting', reason: '' } },
    {
      name: 'its image is not there',
      status: waits('ImagePullBackOff', 'manifest unknown'),
      want: failed('Its image vllm:1 cannot be pulled: manifest unknown'),
    },
    {
      name: 'its image has no good name',
      status: waits('InvalidImageName'),
      want: failed('vllm:1 is no name of an image.'),
    },
    {
      name: 'its configuration names a secret that is not there',
      status: waits('CreateContainerConfigError', 'secret "hf" not found'),
      want: failed('Its container cannot be made: secret "hf" not found'),
    },
    {
      name: 'it crashes again and again',
      status: waits('CrashLoopBackOff', 'back-off 10s', { lastState: ended(3) }),
      want: failed('It ended with code 3', { hasLog: true, isRestarted: true, exitCode: 3 }),
    },
    {
      name: 'it runs out of memory again and again',
      status: waits('CrashLoopBackOff', 'back-off 10s', { lastState: ended(137, 'OOMKilled') }),
      want: failed('It needed more memory than it may have and was killed (OOMKilled)', {
        hasLog: true,
        isRestarted: true,
        exitCode: 137,
      }),
    },
    {
      name: 'one crash is no failure',
      status: { phase: 'Running', podIP: '10.0.0.7', containerStatuses: [container({ state: ended(1) })] },
      want: { state: 'running', isReady: false, podIp: '10.0.0.7' },
    },
    {
      name: 'ready',
      status: { phase: 'Running', podIP: '10.0.0.7', conditions: [{ type: 'Ready', status: 'True' }] },
      want: { state: 'running', isReady: true, podIp: '10.0.0.7' },
    },
    {
      name: 'its init container still runs',
      status: { phase: 'Running', initContainerStatuses: [container({ state: { running: {} } })] },
      want: { state: 'waiting', reason: '' },
    },
    {
      name: 'evicted',
      status: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
      want: failed('Its pod has failed: Evicted: The node was low on resource: memory.'),
    },
    {
      name: 'a task that failed',
      status: { phase: 'Failed', containerStatuses: [container({ state: ended(42) })] },
      want: failed('It ended with code 42', { hasLog: true, exitCode: 42 }),
    },
    { name: 'a task that is done', status: { phase: 'Succeeded' }, want: { state: 'succeeded' } },
  ])('$name', ({ status, want }) => {
    expect(verdictOf(pod(status))).toEqual(want);
  });

  it('of several pods the newest counts that is not on its way out', () => {
    const at = (second: number) => new Date(second * 1_000);
    const old = pod({}, { name: 'old', creationTimestamp: at(1) });
    const now = pod({}, { name: 'new', creationTimestamp: at(3) });
    const going = pod({}, { name: 'going', creationTimestamp: at(9), deletionTimestamp: at(10) });
    expect(newestPod([old, going, now])?.metadata?.name).toBe('new');
    expect(newestPod([going])).toBeUndefined();
  });

  it('why there is no pod', () => {
    const message = 'pods "x" is forbidden: exceeded quota: gpus, requested: 8, used: 1, limited: 8';
    const conditions = [{ type: 'ReplicaFailure', status: 'True', message }];
    expect(noPodReason({ status: { conditions } })).toBe(`Its pod cannot be made: ${message}`);
    expect(noPodReason(undefined)).toBe('');
  });

  it('last words', () => {
    expect(lastWords('loading\nCUDA out of memory\n\n')).toBe('CUDA out of memory');
    expect(lastWords('')).toBe('');
  });
});
