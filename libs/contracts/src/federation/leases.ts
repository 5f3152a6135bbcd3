/**
 * Conversation: leases on budgets. Subject `atoll.v1.<cluster>.lease`, agent → control plane, request–reply; any control
 * plane may answer from Postgres. One request asks for new leases, for more on those that are held, and gives back those
 * that are not needed. Dedupe: `requestId` of each wish; the answer to a repeated one is what was granted the first time.
 * What was spent is told by `usage-recorded` events, never here, so that it is counted once. Bound: 256 KiB.
 * Gateways hold leases by the same rules.
 */
import { z } from 'zod';
import { idSchema } from '../primitives.ts';

export const LEASE_WISHES_MAX = 500;

export const leaseRequestSchema = z.object({
  wishes: z
    .array(
      z.object({
        /** New for each wish; the same when it is asked again because no answer came. */
        requestId: idSchema,
        budgetId: idSchema,
        /** The lease to renew; null: a new one. */
        leaseId: idSchema.nullable(),
        /** Tokens wanted beside what is left of it; the answer may be fewer. 0: only a later end. */
        tokens: z.int().min(0),
        /** For the period after the present one, so that an agent that is cut off lasts past its end. */
        ahead: z.boolean().optional(),
        /** Nobody spends from it now: to be granted only where there is plenty. */
        standby: z.boolean().optional(),
      }),
    )
    .max(LEASE_WISHES_MAX),
  /** Given back: nothing more is spent from them, and every usage of theirs is in the outbox. */
  returns: z.array(z.object({ leaseId: idSchema, spentTokens: z.int().min(0) })).max(LEASE_WISHES_MAX),
});
export type LeaseRequest = z.infer<typeof leaseRequestSchema>;

export const leaseGrantSchema = z.object({
  requestId: idSchema,
  budgetId: idSchema,
  leaseId: idSchema,
  /** In all, over the lease's life. */
  grantedTokens: z.int().min(0),
  /** Counted by the holder's monotonic clock, from the moment at which it asked. */
  expiresInSeconds: z.int().min(0),
  /** A lease ahead of its period: counted in the same way, and nothing is spent from it before. */
  startsInSeconds: z.int().min(0).optional(),
  /** Its period ends then, so it cannot be made to last longer. */
  endsWithPeriod: z.boolean().optional(),
});
export type LeaseGrant = z.infer<typeof leaseGrantSchema>;

export const leaseReplySchema = z.object({
  grants: z.array(leaseGrantSchema),
  refusals: z.array(
    z.object({
      requestId: idSchema,
      budgetId: idSchema,
      /** One sentence, for whoever is refused for it. */
      reason: z.string().max(500),
      retryAfterSeconds: z.int().min(1),
    }),
  ),
  /** Leases of this holder that the control plane no longer counts; what was told of them is in. */
  ended: z.array(idSchema),
});
export type LeaseReply = z.infer<typeof leaseReplySchema>;
