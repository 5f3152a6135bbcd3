import { z } from 'zod';

/** Replicas as Deployments of a Kubernetes cluster. */
export const kubernetesEngineSchema = z.strictObject({
  kind: z.literal('kubernetes'),
  namespace: z.string().min(1).max(63),
});
export type KubernetesEngineConfiguration = z.output<typeof kubernetesEngineSchema>;
