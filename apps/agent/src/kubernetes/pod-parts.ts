// Pieces of a pod that replicas and tasks share. Pure: what is wanted in, Kubernetes objects out.
//
// What a container asks of devices is both request and limit: extended resources cannot be overcommitted. Pods keep to the
// `restricted` pod security standard and see no credentials of the cluster.
import type {
  V1Affinity,
  V1NodeSelectorRequirement,
  V1PodSecurityContext,
  V1ResourceRequirements,
  V1SecurityContext,
} from '@kubernetes/client-node';
import type { NodeDevices, NodePreferences, ResourceClaim, TopologyScope } from '#domain';
import type { ResourceNames, TopologyKeys } from './configuration.ts';

const MEBIBYTE = 1_048_576;
const PREFERENCE_WEIGHT = 50;
const AFFINITY_WEIGHT = 100;

/** Node label with the memory of one device in MiB, where a device plugin's feature discovery sets one. */
export const MEMORY_LABELS: Readonly<Partial<Record<ResourceClaim['deviceType'], string>>> = {
  'nvidia.com/gpu': 'nvidia.com/gpu.memory',
};

/** `memoryBytes`: of the container, beside what is on its devices; absent: not limited. */
export function resourcesOf(claim: ResourceClaim, names: ResourceNames, memoryBytes?: number): V1ResourceRequirements {
  const ofCpu = claim.deviceType === 'cpu' ? (claim.memoryBytesPerDevice ?? 0) * claim.count : 0;
  const memory = Math.max(memoryBytes ?? 0, ofCpu);
  const amounts: Record<string, string> = { [names[claim.deviceType]]: String(claim.count) };
  if (memory > 0) amounts.memory = String(memory);
  return { requests: amounts, limits: amounts };
}

export interface Placing {
  readonly claim: ResourceClaim;
  readonly topology: TopologyKeys;
  /** Absent: any node. */
  readonly nodes?: NodePreferences;
  /** What the centre bound. Device plugins choose the devices themselves, so only the node counts. */
  readonly devices?: readonly NodeDevices[];
}

/** Undefined: anywhere. */
export function nodeAffinityOf({ claim, topology, nodes, devices }: Placing): V1Affinity['nodeAffinity'] {
  const required = [
    ...Object.entries(nodes?.required ?? {}).map(([key, value]) => isIn(key, value)),
    ...(devices === undefined || devices.length === 0 ? [] : [isIn(topology.node, ...namesOf(devices))]),
    ...memoryRequirement(claim),
  ];
  const preferred = Object.entries(nodes?.preferred ?? {}).map(([key, value]) => ({
    weight: PREFERENCE_WEIGHT,
    preference: { matchExpressions: [isIn(key, value)] },
  }));
  if (required.length + preferred.length === 0) return undefined;
  return {
    ...(required.length === 0
      ? {}
      : { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: required }] } }),
    ...(preferred.length === 0 ? {} : { preferredDuringSchedulingIgnoredDuringExecution: preferred }),
  };
}

/**
 * Pods with these labels stand together in the scope. `link` is the node, whose device plugin knows the links. The first
 * of them may stand anywhere. Undefined: the scope is the cluster.
 */
export function togetherIn(
  scope: TopologyScope,
  labels: Readonly<Record<string, string>>,
  topology: TopologyKeys,
  isRequired: boolean,
): V1Affinity['podAffinity'] {
  if (scope === 'cluster') return undefined;
  const topologyKey = topology[scope === 'link' ? 'node' : scope];
  const term = { topologyKey, labelSelector: { matchLabels: { ...labels } } };
  return isRequired
    ? { requiredDuringSchedulingIgnoredDuringExecution: [term] }
    : {
        preferredDuringSchedulingIgnoredDuringExecution: [{ weight: AFFINITY_WEIGHT, podAffinityTerm: term }],
      };
}

/** `userId`: who owns what the pod writes; volumes are made readable to it. */
export function podSecurity(userId: number): V1PodSecurityContext {
  return {
    runAsNonRoot: true,
    runAsUser: userId,
    runAsGroup: userId,
    fsGroup: userId,
    fsGroupChangePolicy: 'OnRootMismatch',
    seccompProfile: { type: 'RuntimeDefault' },
  };
}

export const CONTAINER_SECURITY: V1SecurityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
};

/** `{name}` in each part is replaced; what is not known stays. */
export function filled(template: readonly string[], values: Readonly<Record<string, string>>): string[] {
  return template.map((part) => part.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole));
}

/** GPU feature discovery rounds down to MiB, and `Gt` is the only comparison that a selector has. */
function memoryRequirement({ deviceType, memoryBytesPerDevice }: ResourceClaim): V1NodeSelectorRequirement[] {
  const key = MEMORY_LABELS[deviceType];
  if (key === undefined || memoryBytesPerDevice === undefined) return [];
  return [{ key, operator: 'Gt', values: [String(Math.max(0, Math.floor(memoryBytesPerDevice / MEBIBYTE) - 1))] }];
}

function isIn(key: string, ...values: readonly string[]): V1NodeSelectorRequirement {
  return { key, operator: 'In', values: [...values] };
}

function namesOf(devices: readonly NodeDevices[]): string[] {
  return [...new Set(devices.map(({ node }) => node))].sort();
}
