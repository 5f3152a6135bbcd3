// What a replica is in Kubernetes: a Deployment of one pod, and a Service in front of it. Pure.
//
// `Recreate` and one pod: the old pod's devices are free before a new one asks for them. The Service belongs to the
// Deployment, so it never outlives it. Each start of a replica has a name of its own; nothing that is on its way out can
// be taken for it.
import { join, relative, sep } from 'node:path';
import type { V1Container, V1Deployment, V1PodSpec, V1Probe, V1Service, V1Volume } from '@kubernetes/client-node';
import { EngineError } from '../../errors.ts';
import { ANNOTATIONS, LABELS, labelValue, objectHash, objectName, ownershipLabels } from '../../kubernetes/names.ts';
import { CONTAINER_SECURITY, filled, nodeAffinityOf, podSecurity, resourcesOf } from '../../kubernetes/pod-parts.ts';
import type { EngineSpec } from '../engine-adapter.ts';
import type { KubernetesEngineConfiguration } from './configuration.ts';

const MODEL_FOLDER = '/models';
export const CONTAINER = 'engine';

export interface ReplicaIdentity {
  readonly instanceId: string;
  readonly generation: number;
  readonly specHash: string;
  /** Whose it is: the agent's public key. */
  readonly agent: string;
  /** The engine's name in the agent's configuration. */
  readonly engine: string;
}

/** @throws EngineError when the model is not on the volume that engines see */
export function deploymentOf(
  spec: EngineSpec,
  identity: ReplicaIdentity,
  configuration: KubernetesEngineConfiguration,
): V1Deployment {
  const name = objectName(identity.instanceId);
  const labels = replicaLabels(spec, identity);
  const podSpec = podSpecOf(spec, configuration);
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name,
      namespace: configuration.namespace,
      labels,
      annotations: {
        [ANNOTATIONS.spec]: JSON.stringify(spec),
        [ANNOTATIONS.specHash]: identity.specHash,
        [ANNOTATIONS.objectHash]: objectHash(podSpec),
        [ANNOTATIONS.generation]: String(identity.generation),
      },
    },
    spec: {
      replicas: 1,
      strategy: { type: 'Recreate' },
      revisionHistoryLimit: 0,
      selector: { matchLabels: { [LABELS.instance]: identity.instanceId } },
      template: { metadata: { labels }, spec: podSpec },
    },
  };
}

/** `owner`: the Deployment as the API knows it. */
export function serviceOf(
  identity: ReplicaIdentity,
  labels: Readonly<Record<string, string>>,
  owner: { readonly name: string; readonly uid: string },
  { namespace, port }: KubernetesEngineConfiguration,
): V1Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: objectName(identity.instanceId),
      namespace,
      labels: { ...labels },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', ...owner, controller: true }],
    },
    spec: {
      type: 'ClusterIP',
      selector: { [LABELS.instance]: identity.instanceId },
      ports: [{ name: 'http', port, targetPort: 'http', protocol: 'TCP' }],
    },
  };
}

/** Over all of a pod that the engine would have to be restarted for, configuration included. */
export function podHashOf(spec: EngineSpec, configuration: KubernetesEngineConfiguration): string {
  return objectHash(podSpecOf(spec, configuration));
}

/** Where the engine of a pod answers. */
export function addressOf(
  instanceId: string,
  podIp: string | undefined,
  { address, namespace, port }: KubernetesEngineConfiguration,
): string {
  const values = { service: objectName(instanceId), namespace, podIp: podIp ?? '', port: String(port) };
  return filled([address], values)[0]!.replace(/\/+$/, '');
}

function replicaLabels(spec: EngineSpec, { instanceId, agent, engine }: ReplicaIdentity): Record<string, string> {
  return {
    ...ownershipLabels(agent),
    'app.kubernetes.io/component': 'engine',
    [LABELS.instance]: instanceId,
    [LABELS.replica]: labelValue(spec.replicaId),
    [LABELS.engine]: engine,
  };
}

function podSpecOf(spec: EngineSpec, configuration: KubernetesEngineConfiguration): V1PodSpec {
  const { tolerations, priorityClassName, runtimeClassName, imagePullSecrets, terminationGraceSeconds, userId } =
    configuration;
  const nodeAffinity = placingOf(spec, configuration);
  return {
    containers: [containerOf(spec, configuration)],
    volumes: volumesOf(spec, configuration),
    securityContext: podSecurity(userId),
    terminationGracePeriodSeconds: terminationGraceSeconds,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(nodeAffinity === undefined ? {} : { affinity: { nodeAffinity } }),
    ...(tolerations.length === 0 ? {} : { tolerations: tolerations.map((each) => ({ ...each })) }),
    ...(imagePullSecrets.length === 0 ? {} : { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(runtimeClassName === undefined ? {} : { runtimeClassName }),
  };
}

function placingOf({ claim, nodes, devices }: EngineSpec, { topologyKeys }: KubernetesEngineConfiguration) {
  return claim === undefined ? undefined : nodeAffinityOf({ claim, topology: topologyKeys, nodes, devices });
}

function containerOf(spec: EngineSpec, configuration: KubernetesEngineConfiguration): V1Container {
  const { image, command, environment, port, healthPath, resourceNames, memoryBytes } = configuration;
  const values = valuesOf(spec, configuration);
  const environmentEntries = Object.entries(environment);
  return {
    name: CONTAINER,
    image,
    ...(command === undefined ? {} : { command: filled(command, values) }),
    env: environmentEntries.map(([name, value]) => ({ name, value: filled([value], values)[0]! })),
    ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }],
    ...(spec.claim === undefined ? {} : { resources: resourcesOf(spec.claim, resourceNames, memoryBytes) }),
    volumeMounts: mountsOf(spec, configuration),
    ...probesOf(healthPath),
    securityContext: CONTAINER_SECURITY,
  };
}

/**
 * Loading may take as long as the agent lets it (`engine.startTimeoutSeconds`), so only an engine that has answered once
 * is restarted for being silent.
 */
function probesOf(path: string): Pick<V1Container, 'startupProbe' | 'readinessProbe' | 'livenessProbe'> {
  const httpGet = { path, port: 'http' };
  const every = (periodSeconds: number, failureThreshold: number): V1Probe => ({
    httpGet,
    periodSeconds,
    failureThreshold,
    timeoutSeconds: 3,
  });
  return { startupProbe: every(5, 17_280), readinessProbe: every(5, 2), livenessProbe: every(10, 6) };
}

function valuesOf(spec: EngineSpec, configuration: KubernetesEngineConfiguration): Record<string, string> {
  return {
    modelPath: modelInPod(spec, configuration)?.path ?? spec.servedModel,
    servedModel: spec.servedModel,
    port: String(configuration.port),
    deviceCount: String(spec.claim?.count ?? 1),
    contextSize: String(spec.contextSize ?? 0),
    maxConcurrent: String(spec.maxConcurrent),
  };
}

function volumesOf(spec: EngineSpec, configuration: KubernetesEngineConfiguration): V1Volume[] {
  const { modelVolume, sharedMemoryBytes } = configuration;
  const claimName = modelInPod(spec, configuration) === null ? undefined : modelVolume?.persistentVolumeClaim;
  return [
    { name: 'scratch', emptyDir: {} },
    ...(sharedMemoryBytes === 0
      ? []
      : [{ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: String(sharedMemoryBytes) } }]),
    ...(claimName === undefined ? [] : [{ name: 'model', persistentVolumeClaim: { claimName, readOnly: true } }]),
  ];
}

function mountsOf(spec: EngineSpec, configuration: KubernetesEngineConfiguration): V1Container['volumeMounts'] {
  const model = modelInPod(spec, configuration);
  return [
    { name: 'scratch', mountPath: '/tmp' },
    ...(configuration.sharedMemoryBytes === 0 ? [] : [{ name: 'shm', mountPath: '/dev/shm' }]),
    ...(model === null ? [] : [{ name: 'model', mountPath: MODEL_FOLDER, subPath: model.subPath, readOnly: true }]),
  ];
}

/** The version's own folder and nothing beside it. Null: the pod gets no files of ours. */
function modelInPod(
  { modelPath, versionDigest }: EngineSpec,
  { modelVolume }: KubernetesEngineConfiguration,
): { readonly subPath: string; readonly path: string } | null {
  if (modelVolume === undefined) return null;
  const parts = relative(modelVolume.path, modelPath).split(sep);
  const last = parts.indexOf(versionDigest);
  if (parts[0] === '..' || last < 0) {
    throw new EngineError(
      `The model is at ${modelPath}, which is not on the volume that engines see (${modelVolume.path}).`,
    );
  }
  return { subPath: parts.slice(0, last + 1).join('/'), path: join(MODEL_FOLDER, ...parts.slice(last + 1)) };
}
