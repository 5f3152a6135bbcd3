/**
 * Conversation: desired state. Hint on `atoll.v1.<cluster>.desired` (control plane → agent, core, may be lost: every
 * report with an older revision is answered by a new hint). Fetch on `atoll.v1.<cluster>.fetch` (agent → control plane,
 * request–reply, any control plane may answer from Postgres). Dedupe: (epoch, revision). Bound: 4 MiB unpacked.
 */
import { z } from 'zod';
import {
  claimSchema,
  digestSchema,
  epochSchema,
  idSchema,
  nameSchema,
  revisionSchema,
  versionFileSchema,
  versionSignatureSchema,
} from '../primitives.ts';

export const DESIRED_BYTES_MAX = 4_194_304;

export const desiredHintSchema = z.object({ epoch: epochSchema, revision: revisionSchema });
export type DesiredHint = z.infer<typeof desiredHintSchema>;

export const desiredVersionSchema = z.object({
  versionId: idSchema,
  modelName: nameSchema,
  number: z.int().min(1),
  digest: digestSchema,
  files: z.array(versionFileSchema).min(1).max(10_000),
  signature: versionSignatureSchema.optional(),
});

export const desiredReplicaSchema = z.object({
  replicaId: idSchema,
  deploymentId: idSchema,
  deploymentName: nameSchema,
  servedModel: z.string().min(1).max(128),
  versionDigest: digestSchema,
  claim: claimSchema,
  epoch: epochSchema,
  draining: z.boolean(),
});

export const desiredStateSchema = z.object({
  clusterId: idSchema,
  epoch: epochSchema,
  revision: revisionSchema,
  versions: z.array(desiredVersionSchema).max(10_000),
  replicas: z.array(desiredReplicaSchema).max(10_000),
});

export const desiredFetchSchema = z.object({ revision: revisionSchema, epoch: epochSchema });

/**
 * `state` is null when the cluster has none yet. Blobs: where to fetch and a token of at most 15 minutes; `verifyingKey`
 * (SPKI, PEM) proves the tokens that neighbours show. `verification`: how often, by which rule, what is held is hashed again.
 */
export const desiredFetchReplySchema = z.object({
  state: desiredStateSchema.nullable(),
  blobs: z.object({
    url: z.url(),
    token: z.string().min(1),
    expiresInSeconds: z.int().min(1),
    verifyingKey: z.string().max(1_000).optional(),
  }),
  verification: z
    .object({
      mode: z.enum(['full', 'sample']),
      /** Seconds from now to the next one that is due by the cluster's cron. */
      dueInSeconds: z.int().min(0),
    })
    .optional(),
});
export type DesiredFetchReply = z.infer<typeof desiredFetchReplySchema>;
