/**
 * Conversation: outcomes. Subject `atoll.v1.outcomes`, gateway → control plane, core, every 2 s while anything changed,
 * no reply. Counts are cumulative since the gateway's start (`gatewayId` is new at every start), so a lost or repeated
 * message changes nothing. Read by the leader to judge rollouts. Bound: 256 KiB, at most 1,000 entries. Owner: the gateway.
 */
import { z } from 'zod';
import { FIRST_BYTE_BOUNDS_MS } from '#domain';
import { digestSchema, idSchema } from '../primitives.ts';

export const OUTCOMES_INTERVAL_MS = 2_000;
export const OUTCOMES_ENTRIES_MAX = 1_000;
export const OUTCOMES_BYTES_MAX = 262_144;

export const outcomesSchema = z.object({
  gatewayId: idSchema,
  sequence: z.int().min(1),
  entries: z
    .array(
      z.object({
        deploymentId: idSchema,
        versionDigest: digestSchema,
        requests: z.int().min(0),
        failures: z.int().min(0),
        firstByteCounts: z.array(z.int().min(0)).length(FIRST_BYTE_BOUNDS_MS.length + 1),
      }),
    )
    .max(OUTCOMES_ENTRIES_MAX),
});
export type OutcomesMessage = z.infer<typeof outcomesSchema>;
