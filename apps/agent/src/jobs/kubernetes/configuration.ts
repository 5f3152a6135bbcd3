import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import {
  connectionSchema,
  objectNameSchema,
  resourceNamesSchema,
  tolerationSchema,
  topologyKeysSchema,
} from '../../kubernetes/configuration.ts';

/** Tasks of jobs as Jobs of a Kubernetes cluster. docs/kubernetes.md has an example. */
export const kubernetesTasksSchema = z.strictObject({
  namespace: objectNameSchema,
  connection: connectionSchema.prefault({}),
  /** What commands run in. */
  image: z.string().min(1).max(1_024),
  /** The volume that this agent keeps its state folder on: versions, checkpoints and outputs are there. */
  stateVolume: z.strictObject({
    persistentVolumeClaim: objectNameSchema,
    /** Where the claim is mounted for this agent. */
    path: z.string().startsWith('/').max(1_024),
  }),
  /** `auto`: Volcano where its Job kind is, else Kueue where `queue` is set and its kinds are, else plain Jobs. */
  scheduler: z.enum(['auto', 'plain', 'volcano', 'kueue']).default('auto'),
  /** A queue of Volcano, or a LocalQueue of Kueue. */
  queue: objectNameSchema.optional(),
  /** Where members of a gang meet. */
  masterPort: z.int().min(1).max(65_535).default(29_500),
  /** Of each member's container. Absent: not limited. */
  memoryBytes: z.int().min(1).optional(),
  sharedMemoryBytes: z.int().min(0).default(1_073_741_824),
  resourceNames: resourceNamesSchema,
  topologyKeys: topologyKeysSchema,
  tolerations: z.array(tolerationSchema).max(64).default([]),
  priorityClassName: objectNameSchema.optional(),
  imagePullSecrets: z.array(objectNameSchema).max(16).default([]),
  /** Whom commands run as; it must be able to write what the agent made. */
  userId: z.int().min(1).max(4_294_967_294).default(65_532),
});
export type KubernetesTasksConfiguration = DeepReadonly<z.output<typeof kubernetesTasksSchema>>;
