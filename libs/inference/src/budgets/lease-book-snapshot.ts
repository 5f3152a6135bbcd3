/** What of a lease book is kept on disk. Times are milliseconds from the moment of the snapshot on, whatever the clock. */
import { z } from 'zod';

const tokens = z.int().min(0);
const milliseconds = z.number();
const wish = z
  .object({
    requestId: z.string().min(1).max(64),
    budgetId: z.string().min(1).max(64),
    leaseId: z.string().max(64).nullable(),
    tokens,
    ahead: z.boolean().optional(),
    standby: z.boolean().optional(),
  })
  .nullable();

export const leaseBookSnapshotSchema = z.object({
  version: z.literal(1),
  leases: z.array(
    z.object({
      leaseId: z.string().min(1).max(64),
      budgetId: z.string().min(1).max(64),
      grantedTokens: tokens,
      spentTokens: tokens,
      reservedTokens: tokens,
      startsInMs: milliseconds,
      expiresInMs: milliseconds,
      renewInMs: milliseconds,
      endsWithPeriod: z.boolean(),
      isStandby: z.boolean().default(false),
      isReturning: z.boolean(),
      isEnded: z.boolean(),
    }),
  ),
  reservations: z.array(
    z.object({ id: z.string().min(1).max(64), tokens, leaseIds: z.array(z.string().max(64)).max(16) }),
  ),
  budgets: z.array(
    z.object({
      budgetId: z.string().min(1).max(64),
      title: z.string().max(300),
      pendingNow: wish,
      pendingAhead: wish,
      /** Absent: nobody wanted to spend from it yet. */
      usedAgoMs: milliseconds.optional(),
    }),
  ),
});
export type LeaseBookSnapshot = z.infer<typeof leaseBookSnapshotSchema>;
