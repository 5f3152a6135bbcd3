/**
 * Conversation: events that must not be lost. Subject `atoll.v1.<cluster>.event`, agent → control plane, JetStream with
 * the message id as `Nats-Msg-Id`; the control plane writes an inbox row in the same transaction as the effect and only
 * then names the id on `atoll.v1.<cluster>.acked`. The agent keeps the event on disk until then and sends again every
 * 15 s, so losing the stream loses nothing. Dedupe: message id. Bound: 64 KiB. Owner: the agent.
 */
import { z } from 'zod';
import { DEVICE_TYPES } from '#domain';
import { digestSchema, idSchema } from '../primitives.ts';
import { taskCheckpointSchema, taskReportSchema } from './report.ts';

export const EVENT_BYTES_MAX = 65_536;

/** Of one entry: more than any cluster serves between two events. */
export const USAGE_TOKENS_MAX = 1_000_000_000_000;

/** Requests of one key for one model, from one set of leases. */
export const usageEntrySchema = z.object({
  tenantId: idSchema,
  keyPublicId: z.string().min(1).max(32),
  deploymentId: idSchema,
  servedModel: z.string().min(1).max(128),
  versionDigest: digestSchema,
  /** Each is charged the whole of the tokens. Empty: no budget asked for any. */
  leaseIds: z.array(idSchema).max(16),
  requests: z.int().min(0),
  promptTokens: z.int().min(0).max(USAGE_TOKENS_MAX),
  completionTokens: z.int().min(0).max(USAGE_TOKENS_MAX),
  /** Of the requests, those whose tokens are an estimate, because the engine did not say or an end was not seen. */
  estimatedRequests: z.int().min(0),
});
export type UsageEntry = z.infer<typeof usageEntrySchema>;
export const USAGE_ENTRIES_MAX = 64;

export const eventSchema = z.discriminatedUnion('kind', [
  z.object({ id: idSchema, kind: z.literal('version-verified'), at: z.iso.datetime(), versionDigest: digestSchema }),
  z.object({
    id: idSchema,
    kind: z.literal('replica-failed'),
    at: z.iso.datetime(),
    replicaId: idSchema,
    versionDigest: digestSchema,
    reason: z.string().max(2_000),
  }),
  /** What is on disk was not what it should be; it is being repaired. */
  z.object({
    id: idSchema,
    kind: z.literal('version-drifted'),
    at: z.iso.datetime(),
    versionDigest: digestSchema,
    path: z.string().min(1).max(255),
    foundDigest: digestSchema.nullable(),
  }),
  /** Every byte of it is in the registry. */
  z.object({
    id: idSchema,
    kind: z.literal('checkpoint-saved'),
    at: z.iso.datetime(),
    jobId: idSchema,
    attemptId: idSchema,
    epoch: z.int().min(0),
    checkpoint: taskCheckpointSchema,
  }),
  /** A device that was told of, or is claimed, is not there any more. */
  z.object({
    id: idSchema,
    kind: z.literal('device-lost'),
    at: z.iso.datetime(),
    node: z.string().min(1).max(253),
    deviceId: z.string().min(1).max(64),
    deviceType: z.enum(DEVICE_TYPES),
    /** Replicas and tasks that held it. */
    holders: z.array(z.string().max(64)).max(64),
  }),
  /** What was served under leases, summed. Its id makes it count once, however often it comes. */
  z.object({
    id: idSchema,
    kind: z.literal('usage-recorded'),
    at: z.iso.datetime(),
    entries: z.array(usageEntrySchema).min(1).max(USAGE_ENTRIES_MAX),
  }),
  /** One member of an attempt ended; the report says the same until the desired document drops the task. */
  z.object({ id: idSchema, kind: z.literal('task-ended'), at: z.iso.datetime(), task: taskReportSchema }),
]);
export type AgentEvent = z.infer<typeof eventSchema>;

export const ackedSchema = z.object({ ids: z.array(idSchema).max(1_000) });
export type Acked = z.infer<typeof ackedSchema>;
