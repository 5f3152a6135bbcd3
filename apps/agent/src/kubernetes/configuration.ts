// How a Kubernetes cluster is reached and how its words map to ours; what engines, tasks and nodes of it share.
import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import { DEVICE_TYPES } from '#domain';

const labelKey = z
  .string()
  .max(317)
  .regex(
    /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/,
    'must be a Kubernetes label key',
  );

export const objectNameSchema = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'must be a DNS label');

/** Absent, both: the service account of the pod that the agent runs in. */
export const connectionSchema = z.strictObject({
  /** A kubeconfig file. */
  kubeconfig: z.string().min(1).optional(),
  /** A context of it. Default: its current one. */
  context: z.string().min(1).optional(),
});
export type ConnectionConfiguration = DeepReadonly<z.output<typeof connectionSchema>>;

/** Device type → extended resource. Device plugins of one vendor differ in it: `huawei.com/Ascend910`, `cambricon.com/mlu370`. */
export const DEFAULT_RESOURCE_NAMES = {
  'nvidia.com/gpu': 'nvidia.com/gpu',
  'huawei.com/ascend-npu': 'huawei.com/Ascend910',
  'cambricon.com/mlu': 'cambricon.com/mlu',
  cpu: 'cpu',
} as const;

const resourceName = z
  .string()
  .max(317)
  .regex(/^([a-z0-9]([a-z0-9.-]*[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/, 'must be a resource name');

export const resourceNamesSchema = z
  .partialRecord(z.enum(DEVICE_TYPES), resourceName)
  .default({})
  .transform((given) => ({ ...DEFAULT_RESOURCE_NAMES, ...given }));
export type ResourceNames = DeepReadonly<z.output<typeof resourceNamesSchema>>;

/** Node labels that say where a node stands. */
export const topologyKeysSchema = z
  .strictObject({
    node: labelKey.default('kubernetes.io/hostname'),
    rack: labelKey.default('topology.kubernetes.io/rack'),
    zone: labelKey.default('topology.kubernetes.io/zone'),
  })
  .prefault({});
export type TopologyKeys = DeepReadonly<z.output<typeof topologyKeysSchema>>;

const tolerationSchema = z.strictObject({
  key: labelKey.optional(),
  operator: z.enum(['Exists', 'Equal']).default('Equal'),
  value: z.string().max(63).optional(),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
  tolerationSeconds: z.int().min(0).optional(),
});
export type Toleration = DeepReadonly<z.output<typeof tolerationSchema>>;
const tolerationsSchema = z.array(tolerationSchema).max(64).default([]);

/** A volume that this agent mounts too. */
export const mountedClaimSchema = z.strictObject({
  persistentVolumeClaim: objectNameSchema,
  /** Where the claim is mounted for this agent. */
  path: z.string().startsWith('/').max(1_024),
});

/** What pods of replicas and of tasks have in common, and where they are. */
export const podsSchema = z.strictObject({
  namespace: objectNameSchema,
  connection: connectionSchema.prefault({}),
  image: z.string().min(1).max(1_024),
  /** Of each container. Absent: not limited. */
  memoryBytes: z.int().min(1).optional(),
  /** Size of `/dev/shm`, which work on several devices needs. Default 1 GiB. */
  sharedMemoryBytes: z.int().min(0).default(1_073_741_824),
  /** Device type → extended resource, where the device plugin's name is another one. */
  resourceNames: resourceNamesSchema,
  topologyKeys: topologyKeysSchema,
  tolerations: tolerationsSchema,
  /** One that is there; the agent makes none (ADR 20). */
  priorityClassName: objectNameSchema.optional(),
  imagePullSecrets: z.array(objectNameSchema).max(16).default([]),
  /** Whom they run as. */
  userId: z.int().min(1).max(4_294_967_294).default(65_532),
});

/** How nodes of Kubernetes are read as ours. */
export const nodeReadingSchema = z.strictObject({
  resourceNames: resourceNamesSchema,
  topologyKeys: topologyKeysSchema,
  /** Node label whose value names the link group of all devices of the node. */
  linkLabel: labelKey.default('nvidia.com/gpu.clique'),
  /** What our pods tolerate: nodes with other taints take nothing new. */
  tolerations: tolerationsSchema,
});
export type NodeReading = DeepReadonly<z.output<typeof nodeReadingSchema>>;

/** The nodes of the cluster, instead of this machine. */
export const kubernetesInventorySchema = nodeReadingSchema.extend({
  /** Where replicas and tasks are. */
  namespace: objectNameSchema,
  connection: connectionSchema.prefault({}),
  /** Only nodes with these labels: `pool=gpu,!spot`. */
  nodeSelector: z.string().max(1_024).optional(),
});
export type KubernetesInventoryConfiguration = DeepReadonly<z.output<typeof kubernetesInventorySchema>>;
