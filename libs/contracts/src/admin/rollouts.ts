/** Admin API: rollouts of a deployment. */

import { z } from 'zod';
import { CONSISTENCIES, DEFAULT_ABORT_RULE, DEFAULT_ROLLOUT_POLICY, ROLLOUT_PHASES } from '#domain';
import { idSchema, labelsSchema, nameSchema } from '../primitives.ts';

export const WAVES_MAX = 64;

/** See RolloutWave of the domain: exactly one of `clusterNames`, `labels`, `percent`. */
export const rolloutWaveSchema = z
  .strictObject({
    clusterNames: z.array(nameSchema).min(1).max(1_000).optional(),
    labels: labelsSchema.optional(),
    percent: z.number().min(1).max(100).optional(),
    soakSeconds: z.int().min(0).max(2_592_000).default(0),
    pauseAfter: z.boolean().default(false),
  })
  .refine(
    ({ clusterNames, labels, percent }) =>
      [clusterNames, labels, percent].filter((part) => part !== undefined).length === 1,
    'must have exactly one of clusterNames, labels, percent',
  );

export const rolloutAbortSchema = z.strictObject({
  errorRateAbove: z.number().min(0).max(1).default(DEFAULT_ABORT_RULE.errorRateAbove),
  firstByteRatioAbove: z.number().min(1).max(1_000).default(DEFAULT_ABORT_RULE.firstByteRatioAbove),
  requestsMin: z.int().min(1).max(1_000_000).default(DEFAULT_ABORT_RULE.requestsMin),
  failedStarts: z.int().min(1).max(1_000).default(DEFAULT_ABORT_RULE.failedStarts),
});

const wavesSchema = z.array(rolloutWaveSchema).min(1).max(WAVES_MAX);

export const rolloutPolicySchema = z.strictObject({
  waves: wavesSchema.default(() => wavesSchema.parse(DEFAULT_ROLLOUT_POLICY.waves)),
  abort: rolloutAbortSchema.nullable().default(DEFAULT_ABORT_RULE),
  consistency: z.enum(CONSISTENCIES).default('rolling'),
});

export const rolloutSchema = z.object({
  id: idSchema,
  fromVersion: z.int(),
  toVersion: z.int(),
  phase: z.enum(ROLLOUT_PHASES),
  /** Counted from 1; 0 before the first is open. */
  wave: z.int(),
  waves: z.int(),
  /** Names of the clusters that may run the new version. */
  openClusters: z.array(z.string()),
  consistency: z.enum(CONSISTENCIES),
  /** One sentence: what it waits for, or why it ended. */
  reason: z.string(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
});
export type RolloutDto = z.infer<typeof rolloutSchema>;

/** `POST /api/v1/deployments/{name}/rollback[?dryRun=true]`. Default: the version before the present rollout or version. */
export const rollbackSchema = z.strictObject({ version: z.int().min(1).optional() });
export type Rollback = z.input<typeof rollbackSchema>;
