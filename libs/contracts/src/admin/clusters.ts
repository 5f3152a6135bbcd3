/** Admin API: clusters and join tokens. */

import { z } from 'zod';
import { CLUSTER_KINDS, CLUSTER_PHASES, SYNC_MODES } from '#domain';
import { heldVersionSchema, replicaReportSchema, syncMeasuresSchema } from '../federation/report.ts';
import {
  cronSchema,
  epochSchema,
  idSchema,
  labelsSchema,
  nameSchema,
  nodeSchema,
  revisionSchema,
} from '../primitives.ts';
import { clusterDrainSchema } from './cluster-operations.ts';

const regionSchema = z
  .string()
  .max(63)
  .regex(/^[a-z0-9-]*$/, 'must be lower-case letters, digits or hyphens');

/** `POST /api/v1/join-tokens` */
export const createJoinTokenSchema = z.strictObject({
  clusterName: nameSchema,
  kind: z.enum(CLUSTER_KINDS),
  region: regionSchema.default(''),
  zone: regionSchema.default(''),
  labels: labelsSchema.default({}),
  /** True: the cluster is Ready as soon as it joins; false: an admin accepts it first. */
  preApproved: z.boolean().default(false),
});
export type CreateJoinToken = z.input<typeof createJoinTokenSchema>;

export const joinTokenCreatedSchema = z.object({
  id: idSchema,
  clusterName: nameSchema,
  /** Shown once. */
  token: z.string(),
  expiresAt: z.iso.datetime(),
});
export type JoinTokenCreated = z.infer<typeof joinTokenCreatedSchema>;

const timeOfDaySchema = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day such as "02:00"');

/** See SyncPolicy of the domain. */
export const syncPolicySchema = z.strictObject({
  mode: z.enum(SYNC_MODES),
  cron: cronSchema,
  windows: z.array(z.strictObject({ from: timeOfDaySchema, to: timeOfDaySchema })).max(24),
  timeZone: z
    .string()
    .max(64)
    .refine((name) => isTimeZone(name), 'must be an IANA time zone such as "Asia/Shanghai"'),
  /** At least 1 kB/s; null: unlimited. */
  bytesPerSecondMax: z.number().min(1_000).max(1e12).nullable(),
});
export type SyncPolicyDto = z.infer<typeof syncPolicySchema>;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export const clusterSchema = z.object({
  id: idSchema,
  name: nameSchema,
  kind: z.enum(CLUSTER_KINDS),
  region: z.string(),
  zone: z.string(),
  labels: labelsSchema,
  phase: z.enum(CLUSTER_PHASES),
  phaseSince: z.iso.datetime(),
  cordoned: z.boolean(),
  /** Null: it is not being emptied. */
  drain: clusterDrainSchema.nullable(),
  /** What its agent has applied and this database does not know; null: nothing. See `resync`. */
  ahead: z.object({ epoch: epochSchema, revision: revisionSchema, since: z.iso.datetime() }).nullable(),
  sync: syncPolicySchema,
  createdAt: z.iso.datetime(),
  revision: z.int(),
  /** What the agent last said; null before its first report. */
  observed: z
    .object({
      reportedAt: z.iso.datetime(),
      agentVersion: z.string(),
      desiredRevision: z.int(),
      appliedRevision: z.int(),
      endpoint: z.string().nullable(),
      blobEndpoint: z.string().nullable(),
      measures: syncMeasuresSchema.nullable(),
      nodes: z.array(nodeSchema),
      replicas: z.array(replicaReportSchema),
      versions: z.array(heldVersionSchema),
    })
    .nullable(),
});
export type ClusterDto = z.infer<typeof clusterSchema>;

/** `PATCH /api/v1/clusters/{name}`; of `sync`, what is left out stays. */
export const updateClusterSchema = z.strictObject({
  cordoned: z.boolean().optional(),
  labels: labelsSchema.optional(),
  sync: syncPolicySchema.partial().optional(),
});
export type UpdateCluster = z.input<typeof updateClusterSchema>;
