/**
 * Conversation: desired state. Hint on `atoll.v1.<cluster>.desired` (control plane → agent, core, may be lost: every
 * report with an older revision is answered by a new hint). Fetch on `atoll.v1.<cluster>.fetch` (agent → control plane,
 * request–reply, any control plane may answer from Postgres): the whole document, that nothing changed, or the difference to
 * what the agent holds. Dedupe: (epoch, revision). Bound: 4 MiB unpacked.
 */
import { z } from 'zod';
import { GANG_SIZE_MAX, JOB_KINDS, LAUNCHERS, LOCAL_SCALING_RULES, STOP_CAUSES } from '#domain';
import {
  claimSchema,
  digestSchema,
  epochSchema,
  idSchema,
  labelsSchema,
  nameSchema,
  nodeDevicesSchema,
  revisionSchema,
  taskIdSchema,
  versionFileSchema,
  versionSignatureSchema,
} from '../primitives.ts';
import { adapterReferenceSchema, routingPolicySchema } from './bundle.ts';
import { OUTLINE_CHARACTERS_MAX } from './desired-outline.ts';

export const DESIRED_BYTES_MAX = 4_194_304;

export const desiredHintSchema = z.object({
  epoch: epochSchema,
  revision: revisionSchema,
  /** Said when an agent that had been replaced by another reports again: the newest report of each boot. */
  boots: z
    .array(z.object({ bootId: idSchema, sequence: z.int().min(1) }))
    .max(8)
    .optional(),
});
export type DesiredHint = z.infer<typeof desiredHintSchema>;

export const desiredVersionSchema = z.object({
  versionId: idSchema,
  modelName: nameSchema,
  number: z.int().min(1),
  digest: digestSchema,
  files: z.array(versionFileSchema).min(1).max(10_000),
  signature: versionSignatureSchema.optional(),
});

export const localScalingSchema = z.strictObject({
  replicasMax: z.int().min(1).max(1_000),
  rule: z.enum(LOCAL_SCALING_RULES),
  targetInflight: z.number().min(0.1).max(10_000),
});

export const nodePreferencesSchema = z.strictObject({ required: labelsSchema, preferred: labelsSchema });

export const desiredReplicaSchema = z.object({
  replicaId: idSchema,
  deploymentId: idSchema,
  deploymentName: nameSchema,
  servedModel: z.string().min(1).max(128),
  versionDigest: digestSchema,
  claim: claimSchema,
  epoch: epochSchema,
  draining: z.boolean(),
  devices: z.array(nodeDevicesSchema).max(4096).optional(),
  engine: nameSchema.optional(),
  routing: routingPolicySchema.optional(),
  localScaling: localScalingSchema.optional(),
  nodes: nodePreferencesSchema.optional(),
  adapters: z.array(adapterReferenceSchema).max(64).optional(),
});

export const checkpointContractSchema = z.strictObject({
  mode: z.enum(['none', 'file', 'signal']),
  signal: z.enum(['SIGUSR1', 'SIGUSR2', 'SIGTERM']),
  intervalSeconds: z.int().min(10).max(86_400).nullable(),
});

export const desiredTaskSchema = z.object({
  taskId: taskIdSchema,
  attemptId: idSchema,
  jobId: idSchema,
  jobName: nameSchema,
  kind: z.enum(JOB_KINDS),
  attempt: z.int().min(1),
  rank: z
    .int()
    .min(0)
    .max(GANG_SIZE_MAX - 1),
  worldSize: z.int().min(1).max(GANG_SIZE_MAX),
  epoch: epochSchema,
  claim: claimSchema,
  devices: z.array(nodeDevicesSchema).max(4096).nullable(),
  launcher: z.enum(LAUNCHERS),
  command: z.array(z.string().max(4_096)).min(1).max(256),
  environment: z.record(z.string().max(128), z.string().max(4_096)),
  mounts: z.array(z.object({ name: nameSchema, versionDigest: digestSchema })).max(16),
  checkpoint: checkpointContractSchema,
  graceSeconds: z.int().min(1).max(86_400),
  resumeFrom: z
    .object({ manifestDigest: digestSchema, sizeBytes: z.int().min(0), progress: z.string().max(500) })
    .nullable(),
  outputRequired: z.boolean(),
  stop: z.object({ cause: z.enum(STOP_CAUSES), reason: z.string().max(500), wantsCheckpoint: z.boolean() }).nullable(),
  stopAfterSilentSeconds: z
    .int()
    .min(1)
    .max(86_400 * 30),
});
export type DesiredTaskMessage = z.infer<typeof desiredTaskSchema>;

export const desiredStateSchema = z.object({
  clusterId: idSchema,
  epoch: epochSchema,
  revision: revisionSchema,
  versions: z.array(desiredVersionSchema).max(10_000),
  replicas: z.array(desiredReplicaSchema).max(10_000),
  /** Absent from an older control plane, which knows no jobs. */
  tasks: z.array(desiredTaskSchema).max(10_000).default([]),
});

export const desiredOutlineSchema = z.object({
  versions: z.string().max(OUTLINE_CHARACTERS_MAX),
  replicas: z.string().max(OUTLINE_CHARACTERS_MAX),
  tasks: z.string().max(OUTLINE_CHARACTERS_MAX),
});

/**
 * What the agent has. `held` makes the answer small (R5): by its `digest` the control plane sees that nothing changed, by
 * its `outline` what did. Without `held` (an agent of before it) the answer is always the whole document and a token.
 */
export const desiredFetchSchema = z.object({
  revision: revisionSchema,
  epoch: epochSchema,
  held: z
    .object({
      /** See `outlineDigest`. */
      digest: z.string().max(64),
      outline: desiredOutlineSchema.optional(),
      /** Absent: the token here is still good, or none is needed. */
      needsBlobs: z.literal(true).optional(),
    })
    .optional(),
});
export type DesiredFetch = z.infer<typeof desiredFetchSchema>;

const listDeltaOf = <Item extends z.ZodType>(item: Item) =>
  z
    .array(
      z.union([
        z.object({ keep: z.object({ from: z.int().min(0), count: z.int().min(1) }) }),
        z.object({ put: z.array(item).min(1).max(10_000) }),
      ]),
    )
    .max(20_000);

/**
 * `state` is null when the cluster has none yet, and when `unchanged` or `delta` says more. Blobs: where to fetch and a
 * token of at most 15 minutes; `verifyingKey` (SPKI, PEM) proves the tokens that neighbours show. `verification`: how
 * often, by which rule, what is held is hashed again.
 */
export const desiredFetchReplySchema = z.object({
  state: desiredStateSchema.nullable(),
  /** True: what the agent holds is the document, to the last item. */
  unchanged: z.boolean().optional(),
  /** True: the document differs and is large; ask again with the outline. */
  outlineWanted: z.boolean().optional(),
  /** The document as a difference to what the outline showed. */
  delta: z
    .object({
      clusterId: idSchema,
      epoch: epochSchema,
      revision: revisionSchema,
      versions: listDeltaOf(desiredVersionSchema),
      replicas: listDeltaOf(desiredReplicaSchema),
      tasks: listDeltaOf(desiredTaskSchema),
    })
    .optional(),
  /** Absent only where the agent said that it needs none. */
  blobs: z
    .object({
      url: z.url(),
      token: z.string().min(1),
      expiresInSeconds: z.int().min(1),
      verifyingKey: z.string().max(1_000).optional(),
    })
    .optional(),
  verification: z
    .object({
      mode: z.enum(['full', 'sample']),
      /** Seconds from now to the next one that is due by the cluster's cron. */
      dueInSeconds: z.int().min(0),
    })
    .optional(),
});
export type DesiredFetchReply = z.infer<typeof desiredFetchReplySchema>;
