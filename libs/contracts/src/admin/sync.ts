/** Admin API: how versions travel, and whether all clusters agree. */

import { z } from 'zod';
import { CLUSTER_KINDS } from '#domain';
import { syncProgressSchema } from '../federation/report.ts';
import { digestSchema, nameSchema } from '../primitives.ts';

/**
 * held: there and verified; fetching, failed: as reported; planned: what would be done, by what is known now;
 * unreachable: no plan without contact.
 */
export const SYNC_STATES = ['held', 'fetching', 'failed', 'planned', 'unreachable'] as const;

export const syncClusterSchema = z.object({
  cluster: nameSchema,
  kind: z.enum(CLUSTER_KINDS),
  state: z.enum(SYNC_STATES),
  /** As in the sync plan; `nothing` when held, `impossible` when there is no way. */
  path: z.string(),
  source: z.string(),
  /** To transfer by this path, and the whole version. */
  wireBytes: z.int(),
  fullBytes: z.int(),
  /** Transfer and apply, by measured speeds; null when it cannot be told. */
  seconds: z.number().nullable(),
  /** Until it can begin: the window is open, and a neighbour to fetch from has it; 0 when it can now. */
  startsInSeconds: z.number(),
  /** Null without windows. */
  finishesInWindow: z.boolean().nullable(),
  /** One sentence: why this path, or why it does not finish. */
  reason: z.string(),
  progress: syncProgressSchema.nullable(),
});
export type SyncClusterDto = z.infer<typeof syncClusterSchema>;

/** `GET /api/v1/models/{model}/versions/{number}/sync`: for every cluster that is a member, what was or would be done. */
export const versionSyncSchema = z.object({
  model: nameSchema,
  version: z.int(),
  digest: digestSchema,
  /** "57 will finish in their window, 3 will not: 2 too slow for it (edge-7, edge-9), 1 out of contact". */
  summary: z.string(),
  clusters: z.array(syncClusterSchema),
});
export type VersionSyncDto = z.infer<typeof versionSyncSchema>;

export const agreementClusterSchema = z.object({
  cluster: nameSchema,
  kind: z.enum(CLUSTER_KINDS),
  /** Everything of this model that the cluster says it has. `version` null: a digest that the registry does not know. */
  held: z.array(
    z.object({
      version: z.int().nullable(),
      digest: digestSchema,
      phase: z.enum(['Fetching', 'Held', 'Failed']),
      verifiedAt: z.iso.datetime().nullable(),
    }),
  ),
  /** What Ready replicas run. */
  serving: z.array(z.object({ version: z.int().nullable(), digest: digestSchema })),
  /** What its desired document wants. */
  wanted: z.array(z.int()),
  /** Empty when it holds and serves what is wanted, verified; else what differs. */
  drift: z.string(),
  /** Seconds since its last report. */
  ageSeconds: z.number().nullable(),
});

/** `GET /api/v1/models/{model}/agreement`: the version vector. */
export const agreementSchema = z.object({
  model: nameSchema,
  newest: z.int().nullable(),
  agrees: z.boolean(),
  summary: z.string(),
  clusters: z.array(agreementClusterSchema),
});
export type AgreementDto = z.infer<typeof agreementSchema>;
