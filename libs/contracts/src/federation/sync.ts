/**
 * Conversation: sync plan. Subject `atoll.v1.<cluster>.sync`, agent → control plane, request–reply; any control plane may
 * answer from Postgres. Asked before every try of a fetch, so the answer is never old: it names the cheapest path from
 * what the cluster holds, the source of each step with a token of at most 15 minutes, and the limits of the moment; or it
 * says what to wait for. Nothing is remembered but the claim of a site group. Bound: 4 MiB. Without an answer an agent
 * fetches whole files with its blob token.
 */
import { z } from 'zod';
import { ARTIFACT_PROFILES, FILE_ENCODINGS } from '#domain';
import { digestSchema, idSchema } from '../primitives.ts';
import { syncMeasuresSchema } from './report.ts';

export const SYNC_PLAN_BYTES_MAX = 4_194_304;

export const syncPlanRequestSchema = z.object({
  versionDigest: digestSchema,
  /** Versions held and verified in this boot. */
  held: z.array(digestSchema).max(1_000),
  /** Artifacts that failed here since the agent started; they are not offered again. */
  avoid: z.array(idSchema).max(1_000),
  /** Neighbours (cluster names) that failed since the agent started; asked again after a while. */
  avoidNeighbours: z.array(z.string().max(63)).max(1_000),
  measures: syncMeasuresSchema,
});
export type SyncPlanRequest = z.infer<typeof syncPlanRequestSchema>;

export const artifactFileSchema = z.object({
  digest: digestSchema,
  sizeBytes: z.int().min(0),
  encoding: z.enum(FILE_ENCODINGS),
  baseDigest: digestSchema.nullable(),
  blobDigest: digestSchema,
  blobBytes: z.int().min(0),
});

export const syncStepSchema = z.object({
  /** Null: whole files, without an artifact. */
  artifactId: idSchema.nullable(),
  from: digestSchema.nullable(),
  to: digestSchema,
  profile: z.enum([...ARTIFACT_PROFILES, 'whole']),
  source: z.object({
    kind: z.enum(['registry', 'neighbour']),
    /** `registry`, or the neighbour's cluster name. */
    name: z.string().min(1).max(63),
    /** Blobs are at `<url>/<digest>`. */
    url: z.url(),
    token: z.string().min(1),
  }),
  /** What `to` has and `from` has not; what is here already by its digest is skipped. */
  files: z.array(artifactFileSchema).max(10_000),
});
export type SyncStepMessage = z.infer<typeof syncStepSchema>;

const limits = {
  /** Null: unlimited. */
  bytesPerSecondMax: z.number().positive().nullable(),
  /** Stop then and ask again; null: no window. Counted by the agent's monotonic clock. */
  windowClosesInSeconds: z.number().min(0).nullable(),
};

export const syncPlanReplySchema = z.discriminatedUnion('decision', [
  z.object({
    decision: z.literal('go'),
    path: z.enum(['direct-diff', 'diff-chain', 'snapshot', 'snapshot-and-diffs', 'whole-files']),
    /** One sentence with the bytes, the seconds, and what the other ways would have cost. */
    reason: z.string().max(2_000),
    wireBytes: z.int().min(0),
    seconds: z.number().min(0),
    steps: z.array(syncStepSchema).min(1).max(64),
    ...limits,
  }),
  z.object({
    decision: z.literal('wait'),
    /** "waits for the window 02:00–05:00 UTC", "waits for neighbour edge-2, which fetches it (40 %)". */
    reason: z.string().max(500),
    retryAfterSeconds: z.number().min(0.1).max(86_400),
  }),
]);
export type SyncPlanReply = z.infer<typeof syncPlanReplySchema>;
