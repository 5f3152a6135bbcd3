/**
 * Conversation: report. Subject `atoll.v1.<cluster>.report`, agent → control plane (queue group), core NATS, on change
 * and at most 10 s apart, no reply. Dedupe: (bootId, sequence), fenced by epoch. Bound: that of every message, 8 MiB and
 * 32 MiB unpacked, zstd above 1 KiB; a desired document names no more than a report of it can hold (some 2,200 tasks, with
 * the longest words on each). A lost one is repaired by the next. Owner: the agent.
 */

import { z } from 'zod';
import { GANG_SIZE_MAX, REPLICA_PHASES, TASK_PHASES } from '#domain';
import {
  digestSchema,
  endpointSchema,
  epochSchema,
  idSchema,
  nameSchema,
  nodeDevicesSchema,
  nodeSchema,
  revisionSchema,
  taskIdSchema,
} from '../primitives.ts';

export const REPORT_INTERVAL_MS = 10_000;

export const replicaReportSchema = z.object({
  replicaId: idSchema,
  deploymentId: idSchema,
  versionDigest: digestSchema,
  phase: z.enum(REPLICA_PHASES),
  reason: z.string().max(500),
  restarts: z.int().min(0),
  processId: z.int().min(1).optional(),
  engine: nameSchema.optional(),
  devices: z.array(nodeDevicesSchema).max(4096).optional(),
  isLocal: z.boolean().optional(),
});

export const syncProgressSchema = z.object({
  path: z.string().max(64),
  source: z.string().max(64),
  wireBytesHave: z.int().min(0),
  wireBytesTotal: z.int().min(0),
  bytesPerSecond: z.number().min(0),
  etaSeconds: z.number().min(0).nullable(),
});

export const syncMeasuresSchema = z.object({
  registryBytesPerSecond: z.number().positive().optional(),
  neighbourBytesPerSecond: z.number().positive().optional(),
  applyBytesPerSecond: z.record(z.string().max(32), z.number().positive()),
  diskFreeBytes: z.int().min(0),
});

export const heldVersionSchema = z.object({
  digest: digestSchema,
  phase: z.enum(['Fetching', 'Held', 'Failed']),
  bytesHave: z.int().min(0),
  bytesTotal: z.int().min(0),
  reason: z.string().max(500),
  sync: syncProgressSchema.optional(),
  verifiedAt: z.iso.datetime().optional(),
});

export const taskCheckpointSchema = z.object({
  sequence: z.int().min(1),
  manifestDigest: digestSchema,
  sizeBytes: z.int().min(0),
  progress: z.string().max(500),
  ranSeconds: z.number().min(0),
});

export const taskReportSchema = z.object({
  taskId: taskIdSchema,
  attemptId: idSchema,
  jobId: idSchema,
  rank: z
    .int()
    .min(0)
    .max(GANG_SIZE_MAX - 1),
  epoch: epochSchema,
  phase: z.enum(TASK_PHASES),
  reason: z.string().max(500),
  exitCode: z.int().min(0).max(255).optional(),
  processId: z.int().min(1).optional(),
  ranSeconds: z.number().min(0),
  progress: z.string().max(500).optional(),
  checkpoint: taskCheckpointSchema.optional(),
  outputDigest: digestSchema.optional(),
  devices: z.array(nodeDevicesSchema).max(4096).optional(),
});

export const reportSchema = z.object({
  clusterId: idSchema,
  bootId: idSchema,
  sequence: z.int().min(1),
  epoch: epochSchema,
  revision: revisionSchema,
  agentVersion: z.string().min(1).max(64),
  endpoint: endpointSchema.optional(),
  blobEndpoint: endpointSchema.optional(),
  measures: syncMeasuresSchema.optional(),
  nodes: z.array(nodeSchema).max(4096),
  replicas: z.array(replicaReportSchema).max(10_000),
  versions: z.array(heldVersionSchema).max(10_000),
  tasks: z.array(taskReportSchema).max(10_000).optional(),
});
export type ReportMessage = z.infer<typeof reportSchema>;
