// What a pod's status says, in words that a person can act on. Pure.
//
// One crash is no failure yet: the kubelet starts the container again at once. What waits for somebody (an image that is
// not there, a crash again and again) has failed. A pod that no node takes waits: room may come.
import type { V1ContainerStatus, V1Deployment, V1Pod } from '@kubernetes/client-node';

export type PodVerdict =
  /** `reason`: what it waits for; empty when that is plain. */
  | { readonly state: 'waiting'; readonly reason: string }
  | { readonly state: 'running'; readonly isReady: boolean; readonly podIp: string | undefined }
  | { readonly state: 'succeeded' }
  /** `hasLog`: its last words tell more; `isRestarted`: they are those of the container before. */
  | {
      readonly state: 'failed';
      readonly reason: string;
      readonly hasLog: boolean;
      readonly isRestarted: boolean;
      readonly exitCode?: number;
    };

type WaitingWords = (message: string, image: string) => string;

/** Why a container waits that will not start by itself → what is told. */
const FAILED_WAITS: Readonly<Record<string, WaitingWords>> = {
  ImagePullBackOff: (message, image) => `Its image ${image} cannot be pulled: ${message}`,
  InvalidImageName: (_message, image) => `${image} is no name of an image.`,
  ErrImageNeverPull: (_message, image) => `Its image ${image} is not on the node, and may not be pulled.`,
  CreateContainerConfigError: (message) => `Its container cannot be made: ${message}`,
  CreateContainerError: (message) => `Its container cannot be made: ${message}`,
  RunContainerError: (message) => `Its container cannot be started: ${message}`,
};

export function verdictOf(pod: V1Pod): PodVerdict {
  const status = pod.status ?? {};
  if (status.phase === 'Succeeded') return { state: 'succeeded' };
  if (status.phase === 'Failed') return failedPod(pod);
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const failed = containers.map(failedContainer).find((verdict) => verdict !== null);
  if (failed !== undefined) return failed;
  if (status.phase === 'Running' && isInitialized(pod)) {
    return { state: 'running', isReady: hasCondition(pod, 'Ready'), podIp: status.podIP };
  }
  return { state: 'waiting', reason: waitReason(pod, containers) };
}

/** Of a Deployment that has no pod: what its controller says, or ''. */
export function noPodReason(deployment: V1Deployment | undefined): string {
  const failure = (deployment?.status?.conditions ?? []).find(
    ({ type, status }) => type === 'ReplicaFailure' && status === 'True',
  );
  return failure?.message === undefined ? '' : `Its pod cannot be made: ${failure.message}`;
}

/** The one that counts: not on its way out, the newest. */
export function newestPod(pods: readonly V1Pod[]): V1Pod | undefined {
  const madeAt = ({ metadata }: V1Pod) => String(metadata?.creationTimestamp ?? '');
  const living = pods.filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
  return living.sort((left, right) => (madeAt(left) < madeAt(right) ? 1 : -1))[0];
}

/** The last line that says something, shortened. */
export function lastWords(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  return (lines.at(-1) ?? '').trim().slice(0, 300);
}

function failedPod({ status }: V1Pod): PodVerdict {
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const ended = containers.find((each) => (each.state?.terminated?.exitCode ?? 0) !== 0)?.state?.terminated;
  if (ended !== undefined) {
    const { exitCode, reason } = ended;
    return { state: 'failed', reason: endWords(exitCode, reason), hasLog: true, isRestarted: false, exitCode };
  }
  const words = [status?.reason, status?.message].filter((each) => each !== undefined).join(': ');
  return {
    state: 'failed',
    reason: `Its pod has failed: ${words || 'no reason is given'}`,
    hasLog: false,
    isRestarted: false,
  };
}

/** Null: it is well, or may become so by itself. */
function failedContainer({ state, lastState, image }: V1ContainerStatus): PodVerdict | null {
  const { reason = '', message = '' } = state?.waiting ?? {};
  if (reason === 'CrashLoopBackOff') {
    const { exitCode, reason: why } = lastState?.terminated ?? {};
    const words = exitCode === undefined ? `It ends again and again: ${message}` : endWords(exitCode, why);
    return { state: 'failed', reason: words, hasLog: true, isRestarted: true, exitCode };
  }
  const words = FAILED_WAITS[reason]?.(message, image);
  return words === undefined ? null : { state: 'failed', reason: words, hasLog: false, isRestarted: false };
}

function endWords(exitCode: number, reason: string | undefined): string {
  if (reason === 'OOMKilled') return 'It needed more memory than it may have and was killed (OOMKilled)';
  if (reason === 'ContainerCannotRun' || reason === 'StartError') return `It cannot be started (code ${exitCode})`;
  return `It ended with code ${exitCode}`;
}

function waitReason(pod: V1Pod, containers: readonly V1ContainerStatus[]): string {
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
    return `No node takes it: ${scheduled.message ?? 'no reason is given'}`;
  }
  if (scheduled?.status === 'False' && scheduled.message !== undefined) return scheduled.message;
  const { reason = '', message = '' } =
    containers.map(({ state }) => state?.waiting).find((each) => each?.message) ?? {};
  return message === '' ? '' : `${reason}: ${message}`;
}

function isInitialized(pod: V1Pod): boolean {
  return (pod.status?.initContainerStatuses ?? []).every(({ state }) => state?.terminated?.exitCode === 0);
}

function hasCondition(pod: V1Pod, name: string): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === name && status === 'True') ?? false;
}
