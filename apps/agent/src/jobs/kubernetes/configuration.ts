import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import { mountedClaimSchema, objectNameSchema, podsSchema } from '../../kubernetes/configuration.ts';

/** Tasks of jobs as Jobs of a Kubernetes cluster. `userId` must be able to write what the agent made. docs/kubernetes.md has an example. */
export const kubernetesTasksSchema = podsSchema.extend({
  /** The volume that this agent keeps its state folder on: versions, checkpoints and outputs are there. */
  stateVolume: mountedClaimSchema,
  /** `auto`: Volcano where its Job kind is, else Kueue where `queue` is set and its kinds are, else plain Jobs. */
  scheduler: z.enum(['auto', 'plain', 'volcano', 'kueue']).default('auto'),
  /** A queue of Volcano, or a LocalQueue of Kueue. */
  queue: objectNameSchema.optional(),
  /** Where members of a gang meet. */
  masterPort: z.int().min(1).max(65_535).default(29_500),
});
export type KubernetesTasksConfiguration = DeepReadonly<z.output<typeof kubernetesTasksSchema>>;
