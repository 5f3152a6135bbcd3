// What a Deployment of ours says of the engine that it is: read back from its labels and annotations. Pure.
import type { V1Deployment } from '@kubernetes/client-node';
import { z } from 'zod';
import { claimSchema, nodeDevicesSchema } from '#contracts';
import { ANNOTATIONS, LABELS } from '../../kubernetes/names.ts';
import type { EngineInstance, EngineSpec } from '../engine-adapter.ts';

const specSchema = z.looseObject({
  replicaId: z.string(),
  deploymentId: z.string(),
  versionDigest: z.string(),
  servedModel: z.string(),
  modelPath: z.string(),
  contextSize: z.int().optional(),
  maxConcurrent: z.int(),
  maxQueue: z.int(),
  engine: z.string().optional(),
  claim: claimSchema.optional(),
  devices: z.array(nodeDevicesSchema).optional(),
}) satisfies z.ZodType<EngineSpec>;

/** Null: it is not there whole. */
export function specOf({ metadata }: V1Deployment): EngineSpec | null {
  try {
    return specSchema.parse(JSON.parse(metadata?.annotations?.[ANNOTATIONS.spec] ?? ''));
  } catch {
    return null;
  }
}

/** Null: nothing of ours, or damaged. */
export function instanceOf(deployment: V1Deployment): EngineInstance | null {
  const spec = specOf(deployment);
  const { labels = {}, annotations = {} } = deployment.metadata ?? {};
  const [instanceId, specHash] = [labels[LABELS.instance], annotations[ANNOTATIONS.specHash]];
  const generation = Number(annotations[ANNOTATIONS.generation]);
  if (spec === null || !instanceId || !specHash || !Number.isInteger(generation) || generation < 1) return null;
  const { replicaId, deploymentId, versionDigest, servedModel, engine, devices } = spec;
  return {
    instanceId,
    replicaId,
    deploymentId,
    versionDigest,
    generation,
    specHash,
    servedModel,
    isProven: annotations[ANNOTATIONS.proven] === 'true',
    ...(engine === undefined ? {} : { engine }),
    ...(devices === undefined ? {} : { devices }),
  };
}
