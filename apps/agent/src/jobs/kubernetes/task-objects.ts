// What an attempt of a job is in Kubernetes: one Job with a pod a member, and a name to meet at. Pure.
//
// Plain and Kueue: an indexed `batch/v1` Job and a headless Service that goes with it. Volcano: its own Job, which starts
// all members or none and makes the Service itself. A pod is never tried again: Atoll starts the attempt anew as a whole.
// A member learns its rank when it starts, so everything that depends on it is written with `$(ATOLL_RANK)`, which the
// kubelet fills in; what the job itself wrote is escaped.
import { relative, sep } from 'node:path';
import type {
  V1Container,
  V1EnvVar,
  V1Job,
  V1PodSpec,
  V1Service,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import type { DesiredTask, NodeDevices } from '#domain';
import { EngineError } from '../../errors.ts';
import { KINDS, type Kind, type KubernetesObject } from '../../kubernetes/kinds.ts';
import { ANNOTATIONS, LABELS, labelValue, objectName, ownershipLabels } from '../../kubernetes/names.ts';
import {
  CONTAINER_SECURITY,
  nodeAffinityOf,
  podSecurity,
  resourcesOf,
  togetherIn,
} from '../../kubernetes/pod-parts.ts';
import { launchArguments } from '../launchers.ts';
import { runnerFiles } from '../runner/runner-contract.ts';
import { taskEnvironment } from '../task-environment.ts';
import type { KubernetesTasksConfiguration } from './configuration.ts';

export const CONTAINER = 'task';
const RANK = '$(ATOLL_RANK)';
const ATTEMPT_FOLDER = '/atoll/attempt';
const MOUNTS_FOLDER = '/atoll/mounts';
const WORK_FOLDER = '/atoll/work';
const VOLCANO_TASK = 'member';
const SAVED_GRACE_SECONDS = 30;
/** Device plugins say themselves what a container sees. */
const PLUGINS_OWN = new Set(['CUDA_VISIBLE_DEVICES', 'ASCEND_RT_VISIBLE_DEVICES', 'MLU_VISIBLE_DEVICES']);
/** Said by the pod, a member at a time. */
const RANK_VARIABLES = new Set(['ATOLL_RANK', 'RANK']);

/** All members of an attempt; they differ in their rank alone. */
export interface GangOrder {
  /** Any of them. */
  readonly task: DesiredTask;
  /** What the centre bound for all of them; empty: nothing. */
  readonly devices: readonly NodeDevices[];
  /** Whose it is: the agent's public key. */
  readonly agent: string;
  /** Folders of this agent: of the attempt, and of each version. */
  readonly attemptFolder: string;
  readonly versionPath: (digest: string) => string;
}

/** How gangs are scheduled → what an attempt is then. */
export type GangFlavor = 'plain' | 'kueue' | 'volcano';

export interface FlavorRow {
  readonly kind: Kind;
  /** Where a pod says which member it is. */
  readonly rankField: string;
  /** The Service is ours to make. */
  readonly hasService: boolean;
  readonly masterHost: (name: string) => string;
  readonly build: (
    name: string,
    pod: V1PodSpec,
    order: GangOrder,
    of: KubernetesTasksConfiguration,
  ) => KubernetesObject;
}

const INDEX_ANNOTATION = 'batch.kubernetes.io/job-completion-index';
const VOLCANO_INDEX = 'volcano.sh/task-index';

export const FLAVORS: Readonly<Record<GangFlavor, FlavorRow>> = {
  plain: {
    kind: KINDS.job,
    rankField: `metadata.annotations['${INDEX_ANNOTATION}']`,
    hasService: true,
    masterHost: (name) => `${name}-0.${name}`,
    build: (name, pod, order, of) => jobOf(name, pod, order, of, {}) as KubernetesObject,
  },
  kueue: {
    kind: KINDS.job,
    rankField: `metadata.annotations['${INDEX_ANNOTATION}']`,
    hasService: true,
    masterHost: (name) => `${name}-0.${name}`,
    build: (name, pod, order, of) => kueueJobOf(name, pod, order, of) as KubernetesObject,
  },
  volcano: {
    kind: KINDS.volcanoJob,
    rankField: `metadata.annotations['${VOLCANO_INDEX}']`,
    hasService: false,
    masterHost: (name) => `${name}-${VOLCANO_TASK}-0.${name}`,
    build: volcanoJobOf,
  },
};

/** The Job of an attempt. @throws EngineError when something of it is not on the volume that pods see */
export function gangObject(order: GangOrder, flavor: GangFlavor, of: KubernetesTasksConfiguration): KubernetesObject {
  const name = objectName(order.task.attemptId);
  return FLAVORS[flavor].build(name, podSpecOf(name, order, FLAVORS[flavor], of), order, of);
}

/** Where the members meet. `owner`: the Job as the API knows it. */
export function rendezvousOf(
  order: GangOrder,
  owner: { readonly name: string; readonly uid: string },
  { namespace, masterPort }: KubernetesTasksConfiguration,
): V1Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: owner.name,
      namespace,
      labels: gangLabels(order),
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', ...owner, controller: true }],
    },
    spec: {
      clusterIP: 'None',
      // Members look for each other before they are ready.
      publishNotReadyAddresses: true,
      selector: { [LABELS.attempt]: order.task.attemptId },
      ports: [{ name: 'rendezvous', port: masterPort, protocol: 'TCP' }],
    },
  };
}

/**
 * From SIGTERM to SIGKILL of a pod. A command that saves at a request has saved before it is told to end, and needs little;
 * others save within it. At most half of the silence that it may live through.
 */
export function podGraceSeconds({ checkpoint, graceSeconds, stopAfterSilentSeconds }: DesiredTask): number {
  const wanted = checkpoint.mode === 'file' ? Math.min(graceSeconds, SAVED_GRACE_SECONDS) : graceSeconds;
  return Math.min(wanted, Math.floor(stopAfterSilentSeconds / 2));
}

/** Which member a pod is; null: it does not say. */
export function rankOf({ metadata }: KubernetesObject): number | null {
  const said = metadata?.annotations?.[INDEX_ANNOTATION] ?? metadata?.annotations?.[VOLCANO_INDEX];
  const rank = Number(said ?? Number.NaN);
  return Number.isInteger(rank) && rank >= 0 ? rank : null;
}

export function gangLabels({ task, agent }: Pick<GangOrder, 'task' | 'agent'>): Record<string, string> {
  return {
    ...ownershipLabels(agent),
    'app.kubernetes.io/component': 'task',
    [LABELS.attempt]: task.attemptId,
    [LABELS.job]: labelValue(task.jobName),
  };
}

function jobOf(
  name: string,
  pod: V1PodSpec,
  order: GangOrder,
  { namespace }: KubernetesTasksConfiguration,
  labels: Readonly<Record<string, string>>,
): V1Job {
  const { task } = order;
  const size = task.worldSize;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace, labels: { ...gangLabels(order), ...labels }, annotations: gangAnnotations(order) },
    spec: {
      completionMode: 'Indexed',
      completions: size,
      parallelism: size,
      backoffLimit: 0,
      // Moved on while the control plane is in contact (`KubernetesTaskLauncher.renew`).
      activeDeadlineSeconds: task.stopAfterSilentSeconds - podGraceSeconds(task),
      template: { metadata: { labels: gangLabels(order) }, spec: pod },
    },
  };
}

/** Kueue admits the Job as a whole: it is held back until then. */
function kueueJobOf(name: string, pod: V1PodSpec, order: GangOrder, of: KubernetesTasksConfiguration): V1Job {
  const job = jobOf(name, pod, order, of, { 'kueue.x-k8s.io/queue-name': of.queue ?? 'default' });
  return { ...job, spec: { ...job.spec!, suspend: true } };
}

function volcanoJobOf(
  name: string,
  pod: V1PodSpec,
  order: GangOrder,
  { namespace, queue, priorityClassName }: KubernetesTasksConfiguration,
): KubernetesObject {
  const size = order.task.worldSize;
  const labels = gangLabels(order);
  const template = { metadata: { labels }, spec: { ...pod, subdomain: undefined } };
  return {
    ...KINDS_OF_VOLCANO,
    metadata: { name, namespace, labels, annotations: gangAnnotations(order) },
    spec: {
      schedulerName: 'volcano',
      minAvailable: size,
      maxRetry: 0,
      ...(queue === undefined ? {} : { queue }),
      ...(priorityClassName === undefined ? {} : { priorityClassName }),
      plugins: { svc: ['--disable-network-policy=true'] },
      policies: [{ events: ['PodFailed', 'PodEvicted'], action: 'AbortJob' }],
      tasks: [{ name: VOLCANO_TASK, replicas: size, template: withoutUndefined(template) }],
    },
  } as KubernetesObject;
}

const KINDS_OF_VOLCANO = { apiVersion: KINDS.volcanoJob.apiVersion, kind: KINDS.volcanoJob.kind };

function gangAnnotations({ task }: GangOrder): Record<string, string> {
  return { [ANNOTATIONS.epoch]: String(task.epoch), [ANNOTATIONS.generation]: String(task.attempt) };
}

function podSpecOf(name: string, order: GangOrder, row: FlavorRow, of: KubernetesTasksConfiguration): V1PodSpec {
  const { task } = order;
  const { tolerations, priorityClassName, imagePullSecrets, userId } = of;
  const affinity = affinityOf(order, of);
  return {
    restartPolicy: 'Never',
    subdomain: name,
    containers: [containerOf(name, order, row, of)],
    volumes: volumesOf(of),
    securityContext: podSecurity(userId),
    terminationGracePeriodSeconds: podGraceSeconds(task),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(affinity === undefined ? {} : { affinity }),
    ...(tolerations.length === 0 ? {} : { tolerations: tolerations.map((each) => ({ ...each })) }),
    ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets: imagePullSecrets.map((each) => ({ name: each })) }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
  };
}

/** Each member's claim lies in one pod, and so in one node; a wider scope keeps the members together. */
function affinityOf(
  { task, devices }: GangOrder,
  { topologyKeys }: KubernetesTasksConfiguration,
): V1PodSpec['affinity'] {
  const { topologyScope } = task.claim.schedulingPolicy;
  const nodeAffinity = nodeAffinityOf({ claim: task.claim, topology: topologyKeys, devices });
  const isWider = task.worldSize > 1 && (topologyScope === 'rack' || topologyScope === 'zone');
  const podAffinity = isWider
    ? togetherIn(topologyScope, { [LABELS.attempt]: task.attemptId }, topologyKeys, true)
    : undefined;
  if (nodeAffinity === undefined && podAffinity === undefined) return undefined;
  return {
    ...(nodeAffinity === undefined ? {} : { nodeAffinity }),
    ...(podAffinity === undefined ? {} : { podAffinity }),
  };
}

function containerOf(name: string, order: GangOrder, row: FlavorRow, of: KubernetesTasksConfiguration): V1Container {
  const { task } = order;
  const masterAddress = `${row.masterHost(name)}.${of.namespace}.svc`;
  const member = {
    rank: RANK,
    worldSize: task.worldSize,
    devices: task.claim.count,
    masterAddress,
    masterPort: of.masterPort,
    attemptId: task.attemptId,
    logFolder: WORK_FOLDER,
  };
  return {
    name: CONTAINER,
    image: of.image,
    command: launchArguments(task.launcher, task.command.map(escaped), member),
    workingDir: WORK_FOLDER,
    env: environmentOf(order, row, masterAddress, of),
    resources: resourcesOf(task.claim, of.resourceNames, of.memoryBytes),
    volumeMounts: mountsOf(order, of),
    securityContext: CONTAINER_SECURITY,
    ...lifecycleOf(task),
  };
}

function environmentOf(
  { task }: GangOrder,
  { rankField }: FlavorRow,
  masterAddress: string,
  { masterPort }: KubernetesTasksConfiguration,
): V1EnvVar[] {
  const folder = `${ATTEMPT_FOLDER}/${RANK}`;
  const { request, done, progress } = runnerFiles(folder);
  const place = {
    folder,
    checkpointFolder: `${ATTEMPT_FOLDER}/checkpoint`,
    outputFolder: `${ATTEMPT_FOLDER}/output`,
    resumeFolder: task.resumeFrom === null ? null : `${ATTEMPT_FOLDER}/resume`,
    mountsFolder: MOUNTS_FOLDER,
    requestFile: request,
    doneFile: done,
    progressFile: progress,
    masterAddress,
    masterPort,
    devices: [],
  };
  const own = Object.entries(task.environment).map(([key, value]) => [key, escaped(value)] as const);
  const all = taskEnvironment({ ...task, environment: Object.fromEntries(own) }, place, { HOME: WORK_FOLDER });
  const rest = Object.entries(all).filter(([key]) => !PLUGINS_OWN.has(key) && !RANK_VARIABLES.has(key));
  return [
    { name: 'ATOLL_RANK', valueFrom: { fieldRef: { fieldPath: rankField } } },
    { name: 'RANK', value: RANK },
    ...rest.map(([key, value]) => ({ name: key, value })),
  ];
}

/**
 * What the kubelet does before it sends SIGTERM. A command that saves at another signal gets that first; its answer is
 * waited for, within the grace. SIGTERM itself, and the request file, need nothing here.
 */
function lifecycleOf({ checkpoint }: DesiredTask): Pick<V1Container, 'lifecycle'> {
  if (checkpoint.mode !== 'signal' || checkpoint.signal === 'SIGTERM') return {};
  const signal = checkpoint.signal.replace(/^SIG/, '');
  const script = `kill -${signal} 1; until [ -e "$ATOLL_CHECKPOINT_DONE" ]; do sleep 1; done`;
  return { lifecycle: { preStop: { exec: { command: ['sh', '-c', script] } } } };
}

function volumesOf({ stateVolume, sharedMemoryBytes }: KubernetesTasksConfiguration): V1Volume[] {
  return [
    { name: 'state', persistentVolumeClaim: { claimName: stateVolume.persistentVolumeClaim } },
    { name: 'work', emptyDir: {} },
    ...(sharedMemoryBytes === 0
      ? []
      : [{ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: String(sharedMemoryBytes) } }]),
  ];
}

/** A member sees its attempt and its mounts, and nothing else of the agent's. */
function mountsOf({ task, attemptFolder, versionPath }: GangOrder, of: KubernetesTasksConfiguration): V1VolumeMount[] {
  return [
    { name: 'state', mountPath: ATTEMPT_FOLDER, subPath: onVolume(attemptFolder, of) },
    ...task.mounts.map(({ name, versionDigest }) => ({
      name: 'state',
      mountPath: `${MOUNTS_FOLDER}/${name}`,
      subPath: onVolume(versionPath(versionDigest), of),
      readOnly: true,
    })),
    { name: 'work', mountPath: WORK_FOLDER },
    ...(of.sharedMemoryBytes === 0 ? [] : [{ name: 'shm', mountPath: '/dev/shm' }]),
  ];
}

function onVolume(path: string, { stateVolume }: KubernetesTasksConfiguration): string {
  const parts = relative(stateVolume.path, path).split(sep);
  if (parts[0] === '..' || parts[0] === '') {
    throw new EngineError(`${path} is not on the volume that tasks see (${stateVolume.path}).`);
  }
  return parts.join('/');
}

/** `$(NAME)` of the job's own is no variable of ours. */
function escaped(text: string): string {
  return text.replaceAll('$(', () => '$$(');
}

function withoutUndefined<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}
