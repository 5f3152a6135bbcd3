import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import { mountedClaimSchema, objectNameSchema, podsSchema } from '../../kubernetes/configuration.ts';

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable');

/** Replicas as Deployments of a Kubernetes cluster. docs/kubernetes.md has an example. */
export const kubernetesEngineSchema = podsSchema.extend({
  kind: z.literal('kubernetes'),
  /**
   * Program and arguments; absent: what the image starts. Filled in: `{modelPath}`, `{servedModel}`, `{port}`,
   * `{deviceCount}`, `{contextSize}` (0: not set), `{maxConcurrent}`.
   */
  command: z.array(z.string().min(1)).min(1).max(256).optional(),
  /** Values are filled in like the command. */
  environment: z.record(environmentName, z.string().max(4_096)).default({}),
  /** Where the engine listens. */
  port: z.int().min(1).max(65_535).default(8_000),
  /** Answers 200 when the engine can serve. */
  healthPath: z.string().startsWith('/').max(256).default('/health'),
  /** Where the agent finds it: `{service}`, `{namespace}`, `{podIp}` and `{port}` are filled in. */
  address: z.string().min(1).max(512).default('http://{service}.{namespace}.svc:{port}'),
  /** The volume that this agent keeps its state folder on. Absent: the image brings the model or fetches it by itself. */
  modelVolume: mountedClaimSchema.optional(),
  runtimeClassName: objectNameSchema.optional(),
  /** From SIGTERM to SIGKILL of a pod: what is in flight finishes. */
  terminationGraceSeconds: z.int().min(0).max(3_600).default(30),
});
export type KubernetesEngineConfiguration = DeepReadonly<z.output<typeof kubernetesEngineSchema>>;
