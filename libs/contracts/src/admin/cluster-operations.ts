/** Admin API: what operators do to clusters that run: drain them, ask why they are as they are, bring them back in step. */

import { z } from 'zod';
import {
  CLUSTER_PHASES,
  CONFLICT_KINDS,
  DRAIN_DEADLINE_SECONDS_MAX,
  DRAIN_MODES,
  DRAIN_STAGES,
  REPLICA_PHASES,
} from '#domain';
import { digestSchema, epochSchema, idSchema, nameSchema, revisionSchema } from '../primitives.ts';

/** `POST /api/v1/clusters/{name}/drain[?dryRun=true]`; asking again changes mode and deadline. */
export const drainClusterSchema = z.strictObject({
  mode: z.enum(DRAIN_MODES),
  /** move: what found no other place by then is stopped, default 600; wait: how long it waits, default 3,600. */
  deadlineSeconds: z.int().min(0).max(DRAIN_DEADLINE_SECONDS_MAX).optional(),
});
export type DrainCluster = z.input<typeof drainClusterSchema>;

/** How a drain stands; part of a cluster's view. */
export const clusterDrainSchema = z.object({
  mode: z.enum(DRAIN_MODES),
  deadlineSeconds: z.int(),
  since: z.iso.datetime(),
  requestedBy: z.string(),
  /** hold: nothing new comes; move: what runs goes once it has another place; stop: it ends now. */
  stage: z.enum(DRAIN_STAGES),
  isDone: z.boolean(),
  replicasLeft: z.int(),
  attemptsLeft: z.int(),
  /** One sentence. */
  status: z.string(),
  /** A sentence for everything that it waits for; empty once it is done. */
  blockedBy: z.array(z.string()),
});
export type ClusterDrainDto = z.infer<typeof clusterDrainSchema>;

/** The answer to a dry run of a drain: nothing was changed. */
export const drainPlanSchema = z.object({
  cluster: nameSchema,
  mode: z.enum(DRAIN_MODES),
  /** One sentence. */
  outcome: z.string(),
  replicas: z.array(
    z.object({
      replicaId: idSchema,
      deployment: nameSchema,
      /** Null: no cluster has room for it now. */
      to: nameSchema.nullable(),
      says: z.string(),
    }),
  ),
  jobs: z.array(z.object({ job: nameSchema, attempt: z.int(), says: z.string() })),
});
export type DrainPlanDto = z.infer<typeof drainPlanSchema>;

const positionSchema = z.object({ epoch: epochSchema, revision: revisionSchema });

export const conflictSchema = z.object({
  id: idSchema,
  kind: z.enum(CONFLICT_KINDS),
  /** A replica's or a deployment's id, or empty. */
  subject: z.string(),
  message: z.string(),
  /** By which rule it ended, and how; null while it is open. */
  resolution: z.string().nullable(),
  openedAt: z.iso.datetime(),
  resolvedAt: z.iso.datetime().nullable(),
});
export type ConflictDto = z.infer<typeof conflictSchema>;

/** `GET /api/v1/clusters/{name}/conflicts`: open ones first, then the newest; resolved ones are kept for a week. */
export const conflictsSchema = z.object({ cluster: nameSchema, conflicts: z.array(conflictSchema) });
export type ConflictsDto = z.infer<typeof conflictsSchema>;

export const FINDING_TOPICS = [
  'membership',
  'contact',
  'database',
  'drain',
  'document',
  'devices',
  'replicas',
  'versions',
  'conflicts',
  'cordon',
] as const;

export const findingSchema = z.object({
  about: z.enum(FINDING_TOPICS),
  /** One sentence: what is so, and why. */
  says: z.string(),
  /** What to do about it; null: nothing, it goes over by itself. */
  next: z.string().nullable(),
});
export type FindingDto = z.infer<typeof findingSchema>;

/** `GET /api/v1/clusters/{name}/explain` */
export const clusterExplainSchema = z.object({
  cluster: nameSchema,
  phase: z.enum(CLUSTER_PHASES),
  /** One sentence: the gravest finding, or that all is as wanted. */
  summary: z.string(),
  /** The gravest first; empty when all is as wanted. */
  findings: z.array(findingSchema),
  /** Seconds since the last sign of life, as this control plane heard it; null: none yet. */
  silentSeconds: z.number().nullable(),
  reportedAt: z.iso.datetime().nullable(),
  desired: positionSchema,
  /** What its agent has applied; null before its first report. */
  applied: positionSchema.nullable(),
  replicas: z.array(
    z.object({
      replicaId: idSchema,
      deployment: z.string(),
      /** Whether it should run; null: its agent started it by itself. */
      isWanted: z.boolean().nullable(),
      /** What the agent says; null: nothing. */
      phase: z.enum(REPLICA_PHASES).nullable(),
      reason: z.string(),
    }),
  ),
  /** Those that should be here whole and are not. */
  versions: z.array(
    z.object({
      model: z.string(),
      version: z.int(),
      versionDigest: digestSchema,
      state: z.string(),
      reason: z.string(),
    }),
  ),
  conflicts: z.array(conflictSchema),
});
export type ClusterExplainDto = z.infer<typeof clusterExplainSchema>;

/** `POST /api/v1/clusters/{name}/resync[?dryRun=true]`: what its agent will do once it takes documents again. */
export const resyncSchema = z.object({
  cluster: nameSchema,
  reported: positionSchema,
  known: positionSchema,
  /** The document that it is, or would be, given. */
  next: positionSchema,
  /** Runs there and is not wanted by this database. */
  stops: z.array(z.object({ id: z.string(), what: z.string() })),
  /** Wanted by this database and does not run there. */
  starts: z.array(z.object({ id: z.string(), what: z.string() })),
  /** One sentence. */
  outcome: z.string(),
});
export type ResyncDto = z.infer<typeof resyncSchema>;
