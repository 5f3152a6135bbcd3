/** Admin API: clusters and join tokens. */

import { z } from 'zod';
import { CLUSTER_KINDS, CLUSTER_PHASES } from '#domain';
import { heldVersionSchema, replicaReportSchema } from '../federation/report.ts';
import { idSchema, labelsSchema, nameSchema, nodeSchema } from '../primitives.ts';

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
      nodes: z.array(nodeSchema),
      replicas: z.array(replicaReportSchema),
      versions: z.array(heldVersionSchema),
    })
    .nullable(),
});
export type ClusterDto = z.infer<typeof clusterSchema>;

/** `PATCH /api/v1/clusters/{name}` */
export const updateClusterSchema = z.strictObject({
  cordoned: z.boolean().optional(),
  labels: labelsSchema.optional(),
});
