import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import {
  connectionSchema,
  objectNameSchema,
  resourceNamesSchema,
  tolerationSchema,
  topologyKeysSchema,
} from '../../kubernetes/configuration.ts';

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable');

/** Replicas as Deployments of a Kubernetes cluster. docs/kubernetes.md has an example. */
export const kubernetesEngineSchema = z.strictObject({
  kind: z.literal('kubernetes'),
  namespace: objectNameSchema,
  connection: connectionSchema.prefault({}),
  image: z.string().min(1).max(1_024),
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
  modelVolume: z
    .strictObject({
      persistentVolumeClaim: objectNameSchema,
      /** Where the claim is mounted for this agent. */
      path: z.string().startsWith('/').max(1_024),
    })
    .optional(),
  /** Of the container. Absent: not limited. */
  memoryBytes: z.int().min(1).optional(),
  /** Size of `/dev/shm`, which engines on several devices need. Default 1 GiB. */
  sharedMemoryBytes: z.int().min(0).default(1_073_741_824),
  /** Device type → extended resource, where the device plugin's name is another one. */
  resourceNames: resourceNamesSchema,
  /** Node labels that say where a node stands. */
  topologyKeys: topologyKeysSchema,
  tolerations: z.array(tolerationSchema).max(64).default([]),
  priorityClassName: objectNameSchema.optional(),
  runtimeClassName: objectNameSchema.optional(),
  imagePullSecrets: z.array(objectNameSchema).max(16).default([]),
  /** From SIGTERM to SIGKILL of a pod: what is in flight finishes. */
  terminationGraceSeconds: z.int().min(0).max(3_600).default(30),
  /** Whom the engine runs as. */
  userId: z.int().min(1).max(4_294_967_294).default(65_532),
});
export type KubernetesEngineConfiguration = DeepReadonly<z.output<typeof kubernetesEngineSchema>>;
